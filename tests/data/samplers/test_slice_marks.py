import torch
from tensordict import TensorDict

from rl.data import TensorStorage
from rl.data.samplers.slice_marks import SliceMarks, Slices


def slices_of(elements, first, last, mask=None):
    return Slices(torch.tensor(elements), torch.tensor(first), torch.tensor(last), mask)


def test_stored_flags_stay_set():
    truncated = torch.tensor([True, False, False, False])
    storage = TensorStorage(TensorDict({"next": {"truncated": truncated}}, [4]))
    told = SliceMarks().of(storage, slices_of([0, 1, 2], [0], [2]))
    assert told["next", "truncated"].tolist() == [True, False, True]
    assert told["next", "done"].tolist() == [True, False, True]


def test_shapes_are_those_that_are_stored():
    done = torch.zeros(4, 2, 1, dtype=torch.bool)
    storage = TensorStorage(TensorDict({"next": {"done": done}}, [4]))
    told = SliceMarks().of(storage, slices_of([0, 1, 2], [0], [2]))
    assert {value.shape for value in told.values()} == {(3, 2, 1)}
    assert told["next", "done"].squeeze(-1).tolist() == [[False] * 2] * 2 + [[True] * 2]


def test_padding_is_not_truncated():
    truncated = torch.tensor([False, True])
    storage = TensorStorage(TensorDict({"next": {"truncated": truncated}}, [2]))
    mask = torch.tensor([True, True, False])
    told = SliceMarks().of(storage, slices_of([0, 1, 1], [0], [1], mask))
    assert told["next", "truncated"].tolist() == [False, True, False]
    assert told["collector", "mask"] is mask
