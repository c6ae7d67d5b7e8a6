import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import CheckpointError, ShapeError, SpecError
from rl.data import ListStorage, ReplayBuffer
from rl.data.storages import load_storage, save_storage
from rl.data.storages.list_storage import stack_items


def test_items_are_kept_as_they_are():
    storage, item = ListStorage(3), object()
    storage.set(0, item)
    assert storage.get(0) is item


def test_indices():
    storage = ListStorage(5)
    storage.set(range(4), list("abcd"))
    assert storage[1:3] == ["b", "c"]
    assert storage[torch.tensor(2)] == "c"
    assert storage[torch.tensor([3, -4])] == ["d", "a"]
    assert storage[torch.tensor([True, False, False, True])] == ["a", "d"]
    assert 3 in storage
    assert 4 not in storage


def test_overwriting():
    storage = ListStorage(5)
    storage.set(range(4), list("abcd"))
    storage[0:2] = ["A", "B"]
    storage[-1] = "D"
    assert storage[:] == ["A", "B", "c", "D"]


def test_a_tensordict_is_taken_apart():
    storage = ListStorage(5)
    storage.set(range(2), TensorDict({"x": torch.arange(2)}, [2]))
    assert storage.get(1)["x"] == 1


def test_items_are_moved_to_the_device():
    storage = ListStorage(5, device="meta")
    storage.set(0, torch.zeros(1))
    storage.set(1, "text")
    assert storage.get(0).device.type == "meta"
    assert storage.get(1) == "text"


def test_gaps_and_overflow_raise_and_change_nothing():
    storage = ListStorage(2)
    for cursor in (1, range(3), range(1, 2)):
        with pytest.raises(IndexError, match=r"holds 0 of 2 rows"):
            storage.set(cursor, [0] * 3 if isinstance(cursor, range) and len(cursor) == 3 else [0])
    assert len(storage) == 0


def test_lengths_that_differ_raise():
    storage = ListStorage(5)
    with pytest.raises(ShapeError, match=r"names 2 rows, the data has 3.*one item for each"):
        storage.set(range(2), list("abc"))


@pytest.mark.parametrize("data", [torch.tensor(1.0), TensorDict({"x": 1}), 5])
def test_extend_without_a_batch_raises(data):
    with pytest.raises(ShapeError, match="use `add`"):
        ReplayBuffer(batch_size=1).extend(data)


def test_saving_keeps_kinds(tmp_path):
    items = [1, "a", None, 2.5, torch.ones(2), {"x": [1, (2, 3)]}, TensorDict({"y": 1})]
    storage = ListStorage(10)
    storage.set(range(len(items)), items)
    save_storage(tmp_path, storage)
    other = ListStorage(10)
    load_storage(tmp_path, other)
    assert other[:4] == items[:4]
    assert torch.equal(other[4], items[4])
    assert other[5] == items[5]
    assert (other[6] == items[6]).all()


def test_an_item_that_cannot_be_saved_is_named(tmp_path):
    storage = ListStorage(10)
    storage.set(0, object())
    with pytest.raises(CheckpointError, match="items"):
        save_storage(tmp_path, storage)
    assert not list(tmp_path.glob("rows-*"))


def test_another_capacity_raises():
    storage = ListStorage(10)
    with pytest.raises(SpecError, match="Build it with max_size=10"):
        ListStorage(5).load_state_dict(storage.state_dict())


def test_stacking():
    assert stack_items([1, 2]).tolist() == [1, 2]
    assert stack_items([True, False]).dtype is torch.bool
    assert stack_items([np.zeros(2), np.ones(2)]).shape == (2, 2)
    assert stack_items([torch.zeros(2), torch.ones(2)]).shape == (2, 2)
    assert stack_items([TensorDict({"x": 1}), TensorDict({"x": 2})])["x"].tolist() == [1, 2]
    pair = stack_items([(1, torch.ones(2)), (2, torch.ones(2))])
    assert pair[0].tolist() == [1, 2]
    assert pair[1].shape == (2, 2)
    assert stack_items([{"x": 1}, {"y": 2}]) == [{"x": 1}, {"y": 2}]
    assert stack_items(["a", 1]) == ["a", 1]
    assert stack_items(["a", "b"]) == ["a", "b"]
    assert stack_items([]) == []
