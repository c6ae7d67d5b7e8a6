import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.errors import ShapeError
from rl.data import LazyTensorStorage, ListStorage, RoundRobinWriter, TensorDictRoundRobinWriter


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), st.lists(st.integers(0, 7), max_size=10), st.booleans())
def test_the_newest_row_replaces_the_oldest(capacity, counts, tensors):
    storage = LazyTensorStorage(capacity) if tensors else ListStorage(capacity)
    writer = RoundRobinWriter()
    writer.register_storage(storage)
    ring, written = [None] * capacity, 0
    for count in counts:
        count = min(count, capacity)
        rows = list(range(written, written + count))
        index = writer.extend(torch.tensor(rows) if tensors else rows)
        assert index.tolist() == [row % capacity for row in rows]
        for row in rows:
            ring[row % capacity] = row
        written += count
    assert writer.write_count == written
    assert writer.cursor == written % capacity
    assert len(storage) == min(written, capacity)
    if written:
        held = storage[:] if tensors else torch.tensor(storage[:])
        assert held.tolist() == ring[: len(storage)]


def test_add_writes_one_row_at_the_cursor():
    storage, writer = ListStorage(2), RoundRobinWriter()
    writer.register_storage(storage)
    assert [int(writer.add(item)) for item in "abc"] == [0, 1, 0]
    assert storage[:] == ["c", "b"]


def test_more_rows_than_fit_raise_and_change_nothing():
    storage, writer = LazyTensorStorage(3), RoundRobinWriter()
    writer.register_storage(storage)
    writer.extend(torch.arange(2))
    with pytest.raises(ShapeError, match=r"4 rows.*room for 3.*Write only the last 3"):
        writer.extend(torch.arange(4))
    assert writer.cursor == 2
    assert storage[:].tolist() == [0, 1]


def test_rejected_rows_leave_the_cursor():
    storage, writer = LazyTensorStorage(3), RoundRobinWriter()
    writer.register_storage(storage)
    writer.extend(torch.zeros(1, 2))
    with pytest.raises(ShapeError):
        writer.extend(torch.zeros(1, 3))
    assert (writer.cursor, writer.write_count, len(storage)) == (1, 1, 1)


def test_empty_may_keep_the_count():
    storage, writer = ListStorage(3), RoundRobinWriter()
    writer.register_storage(storage)
    writer.extend("ab")
    writer.empty(empty_write_count=False)
    assert (writer.cursor, writer.write_count) == (0, 2)
    writer.empty()
    assert writer.write_count == 0


def test_the_elements_of_inner_dimensions_are_numbered_row_by_row():
    storage, writer = LazyTensorStorage(8, ndim=2), RoundRobinWriter()
    writer.register_storage(storage)
    assert writer.extend(torch.zeros(3, 2)).tolist() == [0, 1, 2, 3, 4, 5]
    assert writer.extend(torch.zeros(2, 2)).tolist() == [6, 7, 0, 1]


def test_state_round_trip():
    storage, writer = ListStorage(3), RoundRobinWriter()
    writer.register_storage(storage)
    writer.extend("abcd"[:3])
    writer.add("d")
    other = RoundRobinWriter()
    other.load_state_dict(writer.state_dict())
    assert (other.cursor, other.write_count) == (1, 4)


def test_a_writer_without_storage_says_so():
    with pytest.raises(RuntimeError, match="give it to a buffer first"):
        RoundRobinWriter().add(1)


def test_the_tensordict_writer_asks_for_the_index():
    assert TensorDictRoundRobinWriter().writes_index
    assert not RoundRobinWriter().writes_index
