import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from rl.data.datasets.error import DatasetError
from rl.data.datasets.inert_pickle import read_inert

PROTOCOLS = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))

VALUE = {
    "plain": [1, -2, 2**70, 1.5, None, True, False, "text é", b"bytes", (), (1,), (1, 2, 3, 4)],
    "nested": {"a": {"b": [[], {}]}},
    "arrays": [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([1, 2], ">i4"),
        np.zeros((0, 3), np.uint8),
        np.array([True, False]),
    ],
    "scalars": [np.float64(2.5), np.int32(4), np.bool_(True)],
}


def same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one == other and type(one) is type(other)


@PROTOCOLS
def test_plain_values_and_arrays_are_read(protocol):
    assert same(VALUE, read_inert(pickle.dumps(VALUE, protocol), "it"))


@PROTOCOLS
def test_shared_values_and_ordered_dicts(protocol):
    array = np.arange(3.0)
    found = read_inert(pickle.dumps([array, array, OrderedDict(a=array)], protocol), "it")
    assert same([array, array, {"a": array}], found)


def test_an_object_array_of_numpy_files():
    file = io.BytesIO()
    np.save(file, {"x": np.arange(4)}, allow_pickle=True)
    file.seek(128)
    assert read_inert(file.read(), "it")["x"].tolist() == [0, 1, 2, 3]


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


class Other:
    pass


@PROTOCOLS
@pytest.mark.parametrize("value", [Attack(), Other(), {"x": [len]}, np.random.default_rng()])
def test_anything_else_is_refused_and_not_run(value, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=r"it is a pickle with the (name|instruction)"):
        read_inert(pickle.dumps(value, protocol), "it")
    assert not (tmp_path / "attacked").exists()


def test_a_damaged_pickle_is_named():
    whole = pickle.dumps(VALUE)
    for cut in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        with pytest.raises(DatasetError, match="`it` is damaged"):
            read_inert(whole[:cut], "`it`")
