import pytest
import torch
from tensordict import TensorDict

from rl.core import MissingKeyError, ShapeError
from rl.data import DensifyReward


def data(shape=(10,)):
    done, reward = torch.zeros(10, 1, dtype=torch.bool), torch.zeros(10, 1)
    done[[3, 7]], reward[3], reward[7] = True, 3.0, 7.0
    return TensorDict({"next": {"reward": reward, "done": done}}, [10]).reshape(shape)


def test_by_hand():
    out = DensifyReward()(data())
    assert out["next", "reward"].flatten().tolist() == [3, 3, 3, 3, 7, 7, 7, 7, 0, 0]


def test_discount_and_another_key():
    out = DensifyReward(discount=0.5, reward_key_out="dense")(data())
    assert out["next", "dense"].flatten()[:4].tolist() == [0.375, 0.75, 1.5, 3.0]
    assert out["next", "reward"].sum() == 10


def test_time():
    """Two envs of five steps; time may come first."""
    out = DensifyReward()(data((2, 5)))
    assert out["next", "reward"].squeeze(-1).tolist() == [[3, 3, 3, 3, 0], [7, 7, 7, 0, 0]]
    first = data((2, 5)).transpose(0, 1).contiguous()
    dense = DensifyReward(time_dim=0)(first)["next", "reward"]
    assert torch.equal(dense.transpose(0, 1), out["next", "reward"])


def test_bad_input():
    with pytest.raises(ShapeError, match="along time"):
        DensifyReward()(TensorDict({}))
    with pytest.raises(MissingKeyError, match="pass `reward_key="):
        DensifyReward(reward_key="r")(data())
