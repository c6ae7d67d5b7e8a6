import pytest
import torch
from tensordict import TensorDict

from rl.core.modules.trajectory import join_transitions


@pytest.mark.parametrize("batch", [(), (3,)])
def test_join(batch):
    steps = [
        TensorDict(
            {("next", "x"): torch.full((*batch, 1), float(i)), "x": torch.zeros(*batch, 1)}, batch
        )
        for i in range(4)
    ]
    steps[2]["extra"] = torch.zeros(*batch, 1)
    out = join_transitions(steps)
    assert out.batch_size == (*batch, 4)
    assert out.names == [*[None] * len(batch), "time"]
    assert out["next", "x"].squeeze(-1).expand(3, 4)[0].tolist() == [0, 1, 2, 3]
    assert "extra" not in out
    with pytest.raises(KeyError, match="x"):
        join_transitions([steps[0], steps[1].exclude("x")])
