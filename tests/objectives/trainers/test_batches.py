import pytest
import torch
from tensordict import TensorDict

from rl.core import ShapeError
from rl.objectives.trainers import BatchSubSampler, RewardNormalizer, SelectKeys, mask_batch


@pytest.fixture
def padded():
    """Two trajectories of 3 and 5 steps; the values are row * 10 + time."""
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    x = torch.tensor([[0, 10]]).T + torch.arange(5)
    return TensorDict({"x": x, ("collector", "mask"): mask}, [2, 5])


def rewards(*values):
    reward = torch.tensor(values).unsqueeze(-1)
    return TensorDict({"next": {"reward": reward}}, [len(values)])


def test_mask_batch_leaves_padding_out(padded):
    assert mask_batch(padded)["x"].tolist() == [0, 1, 2, 10, 11, 12, 13, 14]


def test_select_keys():
    batch = TensorDict({"a": torch.ones(2), "b": torch.ones(2)}, [2])
    assert list(SelectKeys(["a"])(batch).keys()) == ["a"]
    with pytest.raises(TypeError, match=r"\['a'\]"):
        SelectKeys("a")


def test_pieces_are_consecutive_and_valid(padded):
    out = BatchSubSampler(batch_size=60, sub_traj_len=3)(padded)
    assert out.shape == (20, 3)
    assert (out["x"].diff(dim=1) == 1).all()
    assert out["collector", "mask"].all()


def test_single_steps_are_valid(padded):
    out = BatchSubSampler(batch_size=50)(padded)
    assert out.shape == (50,)
    assert set(out["x"].tolist()) <= {0, 1, 2, 10, 11, 12, 13, 14}


def test_short_trajectories_shorten_the_pieces(padded):
    assert BatchSubSampler(12, sub_traj_len=4, min_sub_traj_len=2)(padded).shape == (4, 3)
    out = BatchSubSampler(12, sub_traj_len=4)(padded)
    assert out.shape == (3, 4)
    assert (out["x"] >= 10).all()


def test_pieces_that_are_too_long(padded):
    with pytest.raises(ShapeError, match="lower `sub_traj_len`"):
        BatchSubSampler(12, sub_traj_len=6)(padded)


def test_reward_normalizer():
    normalizer = RewardNormalizer(decay=0.5, scale=2.0)
    normalizer.update_reward_stats(rewards(1.0, 3.0))
    assert normalizer.statistics() == (2.0, 1.0)
    batch = rewards(1.0, 3.0)
    assert normalizer.normalize_reward(batch)["next", "reward"].flatten().tolist() == [-2.0, 2.0]
    assert batch["next", "reward"].flatten().tolist() == [1.0, 3.0]
    # decayed: sum 2 + 8, squares 5 + 32, count 1 + 2
    normalizer.update_reward_stats(rewards(4.0, 4.0))
    mean, std = normalizer.statistics()
    assert mean == pytest.approx(10 / 3)
    assert std == pytest.approx((37 / 3 - 100 / 9) ** 0.5)
    again = RewardNormalizer()
    again.load_state_dict(normalizer.state_dict())
    assert again.statistics() == (mean, std)
