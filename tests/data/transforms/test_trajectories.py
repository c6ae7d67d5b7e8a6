import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import MissingKeyError, ShapeError
from rl.data.transforms.trajectories import (
    last_steps,
    padding_mask,
    time_dimension,
    trajectory_ends,
)


def test_time_is_the_named_dimension_or_the_last():
    data = TensorDict({}, [2, 3])
    assert time_dimension(data, "X") == 1
    data.names = ["time", None]
    assert time_dimension(data, "X") == 0
    with pytest.raises(ShapeError, match=r"`extend`, not `add`"):
        time_dimension(TensorDict({}), "X")


def test_ends(stream):
    data = stream([0, 1, 0, 0, 0])
    assert trajectory_ends(data, time_dim=0, owner="X").tolist() == [0, 1, 0, 0, 1]
    data["collector", "traj_ids"] = torch.tensor([0, 0, 1, 2, 2])
    assert trajectory_ends(data, time_dim=0, owner="X").tolist() == [0, 1, 1, 0, 1]
    ignoring = trajectory_ends(data, time_dim=0, owner="X", traj_key=None)
    assert ignoring.tolist() == [0, 1, 0, 0, 1]
    mask = torch.tensor([1, 1, 1, 1, 0], dtype=torch.bool)
    assert trajectory_ends(data, time_dim=0, owner="X", mask=mask).tolist() == [0, 1, 1, 1, 1]
    assert trajectory_ends(data[:0], time_dim=0, owner="X").shape == (0,)
    with pytest.raises(MissingKeyError, match="pass `done_key="):
        trajectory_ends(data, "over", time_dim=0, owner="X")


def test_ends_along_the_first_dimension():
    done = torch.tensor([[False, True], [False, False]])
    data = TensorDict({"next": {"done": done}}, [2, 2])
    assert trajectory_ends(data, time_dim=0, owner="X").tolist() == [[0, 1], [1, 1]]


def test_masks():
    mask = torch.tensor([[True], [False]])
    assert padding_mask(TensorDict({}, [2])) is None
    assert padding_mask(TensorDict({"mask": mask}, [2])).tolist() == [True, False]
    data = TensorDict({"mask": ~mask, "collector": {"mask": mask}}, [2])
    assert padding_mask(data).tolist() == [True, False]
    assert padding_mask(data, "mask").tolist() == [False, True]
    assert padding_mask(data, "other") is None


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1))
def test_last_steps(ends):
    ends[-1] = True
    slow = [next(j for j in range(i, len(ends)) if ends[j]) for i in range(len(ends))]
    assert last_steps(torch.tensor(ends), 0).tolist() == slow
