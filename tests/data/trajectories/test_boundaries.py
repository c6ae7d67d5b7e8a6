import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, ShapeError
from rl.data import DEFAULT_DONE_KEYS, ListStorage, TensorStorage
from rl.data.trajectories.boundaries import Boundaries

HERE, AFTER = np.array([0, 1, 2]), np.array([1, 2, 0])


def after(boundaries, data):
    return boundaries.after(TensorStorage(data), HERE, AFTER).tolist()


def test_ids_of_several_numbers():
    ids = torch.tensor([[0, 1], [0, 1], [0, 2]])
    assert after(Boundaries("ids"), {"ids": ids}) == [False, True, True]


def test_any_of_the_flags_of_a_row():
    done = torch.tensor([[[False], [True]], [[False], [False]], [[False], [False]]])
    data = TensorDict({"next": {"done": done}}, [3])
    assert after(Boundaries(), data) == [True, False, False]


def test_all_usual_flags():
    flags = torch.eye(3, dtype=torch.bool)
    data = TensorDict({"next": dict(zip(DEFAULT_DONE_KEYS, flags, strict=True))}, [3])
    keys = [("next", key) for key in DEFAULT_DONE_KEYS]
    assert after(Boundaries(end_keys=keys), data) == [True, True, True]
    assert after(Boundaries(end_key=("next", "truncated")), data) == [False, True, False]


@pytest.mark.parametrize("key", [("collector", "traj_ids"), "traj_ids", "episode"])
def test_usual_ids_are_found(key):
    data = TensorDict({"next": {"done": torch.ones(3, dtype=torch.bool)}}, [3])
    data[key] = torch.tensor([4, 4, 5])
    assert after(Boundaries(), data) == [False, True, True]


def test_ids_and_flags_together():
    done = torch.tensor([[True], [False], [False]])
    data = TensorDict({"ids": torch.tensor([0, 0, 1]), "done": done}, [3])
    assert after(Boundaries("ids", "done"), data) == [False, True, True]
    assert after(Boundaries("ids", "done", both=True), data) == [True, True, True]
    assert after(Boundaries("ids", "done", both=True), data.exclude("done")) == [False, True, True]


def test_other_rows_may_have_other_keys():
    boundaries = Boundaries()
    assert after(boundaries, {"episode": torch.tensor([0, 0, 1])}) == [False, True, True]
    boundaries.forget()
    assert after(boundaries, {"traj_ids": torch.tensor([0, 1, 1])}) == [True, False, True]


def test_given_for_all():
    storage = TensorStorage({"x": torch.zeros(3)})
    assert Boundaries(ends=torch.tensor([[1], [0], [0]])).after(storage, HERE, AFTER).tolist() == [
        True,
        False,
        False,
    ]
    assert Boundaries(ends=torch.ones(3)).static == 3
    assert Boundaries().static is None
    with pytest.raises(ShapeError, match="one entry per element"):
        Boundaries(ends=torch.ones(0))


def test_a_row_without_the_entry():
    storage = ListStorage(3)
    storage.set(range(3), [{"episode": 0}, {"x": 1}, {"episode": 1}])
    with pytest.raises(MissingKeyError, match="Write it with every row"):
        Boundaries().after(storage, HERE, AFTER)
