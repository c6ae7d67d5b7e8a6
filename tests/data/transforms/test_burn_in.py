import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import MissingKeyError, RLError, ShapeError, SpecError
from rl.core.modules import GRUModule, LSTMModule
from rl.data import (
    BurnInTransform,
    LazyTensorStorage,
    SamplerWithoutReplacement,
    TensorDictReplayBuffer,
)


class Sum(nn.Module):
    """A state that sums what it sees over time; `state` at each step is that before it."""

    def forward(self, x, state):
        after = state[..., :1, :] + x.cumsum(-2)
        return after


def summing():
    return TensorDictModule(Sum(), ["x", "state"], [("next", "state")])


def sequences(*shape):
    x = torch.arange(1.0, torch.Size(shape).numel() + 1).view(*shape, 1)
    return TensorDict({"x": x, "state": torch.full_like(x, 100.0)}, shape)


def test_by_hand():
    """Steps 1, 2, 3 | 4, 5; the state before the fourth is 100 + 1 + 2 + 3."""
    data = sequences(5)
    out = BurnInTransform(summing(), burn_in=3)(data)
    assert out["x"].flatten().tolist() == [4, 5]
    assert out["state"].flatten().tolist() == [106, 100]
    assert set(out.keys(True, True)) == {"x", "state"}
    assert data["state"].eq(100).all(), "the batch given changed"


def test_a_state_that_is_not_stored():
    class Start(nn.Module):
        def forward(self, x):
            return x.cumsum(-2)

    module = TensorDictModule(Start(), ["x"], [("next", "memory")])
    out = BurnInTransform([module], burn_in=2)(sequences(2, 4))
    assert out["memory"].squeeze(-1).tolist() == [[3, 0], [11, 0]]


@pytest.mark.parametrize("kind", [GRUModule, LSTMModule])
def test_the_state_is_that_of_a_run_from_the_start(kind):
    names = ["h"] if kind is GRUModule else ["h", "c"]
    module = kind(
        input_size=2,
        hidden_size=3,
        in_keys=["x", *names],
        out_keys=["y", *(("next", name) for name in names)],
    )
    data = TensorDict({"x": torch.randn(4, 9, 2)}, [4, 9])
    data["is_init"] = torch.rand(4, 9, 1) < 0.2
    for name in names:
        data[name] = torch.zeros(4, 9, 1, 3)
    out = BurnInTransform([module], burn_in=5)(data)
    steps = data.copy()
    state = {name: steps[name][:, 0] for name in names}
    with torch.no_grad():
        for t in range(5):
            row = steps[:, t].copy().update(state)
            row = module(row)
            state = {name: row["next", name] for name in names}
    assert not out["h"].requires_grad
    for name in names:
        torch.testing.assert_close(out[name][:, 0], state[name])
        assert out[name][:, 1:].eq(0).all()


def test_in_a_buffer_that_does_not_save_the_modules():
    module = TensorDictModule(nn.Linear(1, 1), ["x"], [("next", "memory")])
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(12),
        sampler=SamplerWithoutReplacement(shuffle=False),
        transform=lambda batch: batch.reshape(2, 3),  # as after a slice sampler
        batch_size=6,
    )
    rb.append_transform(BurnInTransform([module], 1))
    rb.extend(sequences(12))
    assert rb.sample()["x"].squeeze(-1).tolist() == [[2, 3], [5, 6]]
    assert rb.state_dict()["_transforms"] == {}
    with torch.no_grad():
        module.module.weight.fill_(0)
        module.module.bias.fill_(7)
    assert rb.sample()["memory"][:, 0].eq(7).all(), "not the live module"


def test_nothing_to_burn_in():
    data = sequences(3)
    assert BurnInTransform([summing()], 0)(data) is data


def test_bad_input():
    with pytest.raises(SpecError, match="from 0 on"):
        BurnInTransform([summing()], -1)
    plain = TensorDictModule(nn.Identity(), ["x"], ["y"])
    with pytest.raises(MissingKeyError, match="Pass `out_keys`"):
        BurnInTransform([plain], 2)
    with pytest.raises(MissingKeyError, match="name what they write"):
        BurnInTransform([plain], 2, out_keys=["z"])(sequences(3))
    for data in (sequences(3), TensorDict({})):
        with pytest.raises(ShapeError, match="sample longer slices"):
            BurnInTransform([summing()], 3)(data)
    with pytest.raises(RLError, match="sampled sequences"):
        BurnInTransform([summing()], 3).transform_output_spec(None)
