import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, ShapeError
from rl.data import Trajectory, filter_trajectories, iter_trajectories


def steps(**entries):
    done = torch.tensor([0, 0, 1, 0, 0, 0]).bool().unsqueeze(-1)
    truncated = torch.tensor([0, 0, 0, 0, 1, 0]).bool().unsqueeze(-1)
    reward = torch.arange(6.0).unsqueeze(-1)
    data = {"x": torch.arange(6), "next": {"reward": reward, "done": done, "truncated": truncated}}
    return TensorDict({**data, **entries}, [6])


def pieces(data, key=None):
    return [piece.data["x"].tolist() for piece in iter_trajectories(data, key)]


def test_any_flag_ends_a_trajectory():
    assert pieces(steps()) == [[0, 1, 2], [3, 4], [5]]


def test_flags_at_the_root():
    data = TensorDict({"x": torch.arange(3), "terminated": torch.tensor([1, 0, 0]).bool()}, [3])
    assert pieces(data) == [[0], [1, 2]]


def test_ids_count_before_flags():
    ids = torch.tensor([4, 4, 4, 4, 2, 2])
    assert pieces(steps(episode=ids)) == [[0, 1, 2, 3], [4, 5]]
    assert pieces(steps(mine=ids), "mine") == [[0, 1, 2, 3], [4, 5]]
    # ids of several numbers
    several = torch.stack([ids, torch.tensor([0, 1, 1, 1, 1, 1])], -1)
    assert pieces(steps(mine=several), "mine") == [[0], [1, 2, 3], [4, 5]]


def test_a_trajectory():
    piece = next(iter_trajectories(steps()))
    assert piece.length == len(piece) == 3
    assert piece.batch_size == (3,)
    assert piece.total_reward == 3.0
    assert torch.equal(piece.reward, piece.get(("next", "reward")))
    assert piece.x.tolist() == [0, 1, 2]
    with pytest.raises(AttributeError, match="neither `nope`"):
        piece.nope  # noqa: B018
    with pytest.raises(MissingKeyError, match="neither `nope`"):
        piece.get("nope")


def test_steps_share_memory():
    data = steps()
    next(iter_trajectories(data)).data["x"][0] = 9
    assert data["x"][0] == 9


def test_filtering():
    assert [t.length for t in filter_trajectories(steps())] == [3, 2, 1]
    assert [t.length for t in filter_trajectories(steps(), lambda t: t.length < 3)] == [2, 1]
    ids = torch.zeros(6)
    assert [t.length for t in filter_trajectories(steps(i=ids), trajectory_key="i")] == [6]


def test_no_steps():
    assert list(iter_trajectories(steps()[:0])) == []


def test_bad_input():
    with pytest.raises(ShapeError, match=r"Pass `data.reshape\(-1\)`"):
        iter_trajectories(steps().reshape(2, 3))
    with pytest.raises(MissingKeyError, match=r"\['nope'\].*Pass `trajectory_key=`"):
        iter_trajectories(steps(), "nope")
    with pytest.raises(MissingKeyError, match="Pass `trajectory_key=`"):
        iter_trajectories(TensorDict({"x": torch.arange(3)}, [3]))
    assert "length=2" in repr(Trajectory(TensorDict({"x": torch.arange(2)}, [2])))
