import pytest
import torch
from tensordict import TensorDict

from rl.data import (
    LazyTensorStorage,
    ReplayBuffer,
    SampleUnit,
    TensorDictReplayBuffer,
)


class Pairs(SampleUnit):
    """Each element with the next one."""

    def expand(self, index, info, storage):
        pair = (index[:, None] + torch.arange(2)) % len(storage)
        return pair.reshape(-1), {**info, "anchor": index.repeat_interleave(2)}


@pytest.mark.parametrize("prefetch", [None, 2])
def test_a_unit_makes_rows_of_anchors(prefetch):
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(9), sample_unit=Pairs(), batch_size=3, prefetch=prefetch
    )
    rb.extend(TensorDict({"x": torch.arange(9)}, [9]))
    for _ in range(5):
        batch = rb.sample()
        assert batch.shape == (6,)
        assert torch.equal(batch["x"], batch["index"])
        assert torch.equal(batch["x"].reshape(3, 2)[:, 0], batch["anchor"][::2])
        assert ((batch["x"].reshape(3, 2).diff() - 1) % 9 == 0).all()
    rb.shutdown()


def test_other_things_are_no_unit():
    with pytest.raises(TypeError, match="`sample_unit` is a int, expected a SampleUnit"):
        ReplayBuffer(sample_unit=3)
