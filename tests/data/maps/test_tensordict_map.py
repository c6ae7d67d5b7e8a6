import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import ShapeError
from rl.data.maps.query import QueryModule
from rl.data.maps.tensordict_map import TensorDictMap
from rl.data.storages import LazyTensorStorage, ListStorage


def keys(*values):
    return TensorDict({"k": torch.tensor(values)}, [len(values)])


def numbers(*values):
    return TensorDict({"v": torch.tensor(values)}, [len(values)])


def make(size=100, **kwargs):
    storage = kwargs.pop("storage", None) or LazyTensorStorage(size)
    return TensorDictMap(query_module=QueryModule(["k"]), storage=storage, **kwargs)


@pytest.mark.parametrize("kind", [LazyTensorStorage, ListStorage])
def test_values_are_found_again(kind):
    table = make(storage=kind(10))
    table[keys(3, 1, 2)] = numbers(30, 10, 20)
    assert table[keys(2, 3)]["v"].tolist() == [20, 30]
    assert table[keys(1)[0]]["v"] == 10
    assert table[keys(1, 2, 3, 1).reshape(2, 2)]["v"].tolist() == [[10, 20], [30, 10]]
    assert len(table) == 3
    assert keys(1, 2) in table
    assert keys(1, 9) not in table


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers()), min_size=1, max_size=30))
def test_it_is_a_dict(pairs):
    table, expected = make(), {}
    for start in range(0, len(pairs), 7):
        part = pairs[start : start + 7]
        table[keys(*(k for k, _ in part))] = numbers(*(v % 100 for _, v in part))
        expected.update({k: v % 100 for k, v in part})
    assert table[keys(*expected)]["v"].tolist() == list(expected.values())
    assert len(table) == len(expected)


def test_known_rows_are_written_by_a_function():
    table = make(write_fn=lambda old, new: old + new)
    table[keys(1, 2, 1, 1)] = numbers(1, 2, 3, 4)
    table[keys(2, 3)] = numbers(10, 20)
    assert table[keys(1, 2, 3)]["v"].tolist() == [8, 12, 20]


def test_a_storage_for_each_entry():
    storages = {"v": LazyTensorStorage(5), ("n", "w"): ListStorage(5)}
    table = make(storage=storages)
    value = TensorDict({"v": torch.tensor([1, 2]), "n": {"w": torch.ones(2, 3)}}, [2])
    table[keys(7, 8)] = value
    assert table.out_keys == ["v", ("n", "w")]
    assert (table[keys(8, 7)] == value[[1, 0]]).all()


def test_as_a_module_it_writes_the_values():
    table = make()
    table[keys(1)] = numbers(5)
    td = keys(1, 1)
    assert table(td) is td
    assert td["v"].tolist() == [5, 5]


def test_from_a_pair():
    table = TensorDictMap.from_tensordict_pair(keys(1), numbers(1), in_keys=["k"], max_size=2)
    assert (table.max_size, len(table), table.out_keys) == (2, 0, ["v"])


def test_the_state_goes_on():
    first, second = make(), make()
    first[keys(4, 5)] = numbers(1, 2)
    second.load_state_dict(first.state_dict())
    second[keys(5, 6)] = numbers(3, 4)
    assert second[keys(4, 5, 6)]["v"].tolist() == [1, 3, 4]
    assert first[keys(5)]["v"].tolist() == [2]


def test_clear():
    table = make()
    table[keys(4, 5)] = numbers(1, 2)
    table.clear()
    assert len(table) == 0
    assert not table.contains(keys(4)).any()


def test_unknown_rows_raise():
    with pytest.raises(KeyError, match=r"2 of 2 rows were never set: ask `contains"):
        make()[keys(1, 2)]


def test_a_full_map_raises_and_is_unchanged():
    table = make(2)
    table[keys(1)] = numbers(1)
    with pytest.raises(IndexError, match="raise the storage's `max_size`"):
        table[keys(1, 2, 3)] = numbers(7, 8, 9)
    assert table[keys(1)]["v"].tolist() == [1]
    assert not table.contains(keys(2)).any()


def test_sizes_that_differ():
    with pytest.raises(ShapeError, match="one value for each key"):
        make()[keys(1, 2)] = numbers(1)


def test_a_refused_write_leaves_the_map_as_it_was():
    table = TensorDictMap(query_module=QueryModule(["k"]), storage=LazyTensorStorage(10))

    def key(*numbers):
        return TensorDict({"k": torch.tensor(numbers).unsqueeze(-1)}, [len(numbers)])

    def value(n, features):
        return TensorDict({"v": torch.full((n, features), float(n))}, [n])

    table[key(1, 2)] = value(2, 3)
    with pytest.raises(ShapeError):
        table[key(3)] = value(1, 4)
    assert table.contains(key(1, 2, 3)).tolist() == [True, True, False]
    table.query_module(key(7))  # whoever else numbers keys
    assert not table.contains(key(7)).any()
    table[key(4, 2, 7)] = value(3, 3)
    assert len(table) == 4
    assert table[key(1, 2, 4, 7)]["v"][:, 0].tolist() == [2, 3, 3, 3]
    again = TensorDictMap(query_module=QueryModule(["k"]), storage=LazyTensorStorage(10))
    again.load_state_dict(table.state_dict())
    assert again[key(1, 2, 4, 7)]["v"][:, 0].tolist() == [2, 3, 3, 3]
    table.clear()
    assert not table.contains(key(1)).any()


def test_no_keys_at_all():
    table = make()
    table[keys(1)] = numbers(5)
    none = TensorDict({"k": torch.empty(0, 2, dtype=torch.int64)}, [0])
    assert table.contains(none).shape == (0,)
    assert QueryModule(["k"])(none)["_index"].shape == (0,)
