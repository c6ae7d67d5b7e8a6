import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import CheckpointError, MissingKeyError, ShapeError, SpecError
from rl.data import H5Storage, LazyTensorStorage, ReplayBuffer, TensorDictReplayBuffer

h5py = pytest.importorskip("h5py")


def rows(start, count):
    x = torch.arange(start, start + count)
    return TensorDict({"x": x, "next": {"y": x[:, None].double() / 2}}, [count])


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_file_holds_the_rows(tmp_path, compression):
    storage = H5Storage(5, path=tmp_path / "rows.h5", compression=compression)
    storage.set(range(3), rows(10, 3))
    storage.set(3, rows(20, 1)[0])
    storage.set(torch.tensor([1, 0, 1]), rows(30, 3))
    storage._file.flush()
    with h5py.File(tmp_path / "rows.h5", "r") as file:
        assert file["x"][:4].tolist() == [31, 32, 12, 20]
        assert file["next/y"].shape == (5, 1)
        assert file["x"].compression == compression


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_it_reads_and_writes_as_a_storage_in_memory(data):
    ours, memory = H5Storage(9), LazyTensorStorage(9)
    for step in range(data.draw(st.integers(1, 6))):
        used = len(memory)
        places = data.draw(st.permutations(range(min(9, used + 3))))
        places = sorted(places[: data.draw(st.integers(1, 4))])
        if places[0] > used or any(p > used and p - 1 not in places for p in places):
            continue
        places = torch.tensor(data.draw(st.permutations(places)))
        batch = rows(100 * step, len(places))
        for storage in (ours, memory):
            storage.set(places, batch)
    if len(memory):
        index = st.integers(0, len(memory) - 1)
        picked = torch.tensor(data.draw(st.lists(index, min_size=1)))
        assert (ours.get(picked) == memory.get(picked)).all()
        assert (ours[:] == memory[:]).all()
        assert (ours[0] == memory[0]).all()


@pytest.mark.parametrize("data", [torch.randn(4, 2), {"a": torch.ones(4, dtype=torch.bool)}])
def test_tensors_and_dicts(data):
    rb = ReplayBuffer(storage=H5Storage(4), batch_size=2)
    rb.extend(data)
    found, expected = rb[:], data
    if isinstance(data, dict):
        found, expected = found["a"], data["a"]
    assert torch.equal(found, expected)
    assert found.dtype == expected.dtype


def test_saved_rows_go_on_and_are_a_plain_file(tmp_path):
    rb = TensorDictReplayBuffer(storage=H5Storage(5, compression="lzf"), batch_size=4)
    rb.extend(rows(0, 4))
    rb.dumps(tmp_path / "saved")
    (file,) = (tmp_path / "saved").rglob("rows.h5")
    with h5py.File(file) as saved:
        assert np.array_equal(saved["x"], [0, 1, 2, 3])
    other = TensorDictReplayBuffer(storage=H5Storage(5), batch_size=4)
    other.loads(tmp_path / "saved")
    for part in (rb, other):
        part.extend(rows(50, 3))
    assert (rb[:] == other[:]).all()


def test_more_rows_than_are_copied_at_a_time(tmp_path):
    rb = ReplayBuffer(storage=H5Storage(2500))
    rb.extend(rows(0, 2500))
    rb.dumps(tmp_path / "saved")
    other = ReplayBuffer(storage=H5Storage(2500))
    other.loads(tmp_path / "saved")
    assert torch.equal(other[:]["x"], torch.arange(2500))


def test_a_copy_has_a_file_of_its_own():
    storage = H5Storage(3)
    storage.set(range(2), rows(0, 2))
    other = copy.deepcopy(storage)
    other.set(0, rows(9, 1)[0])
    assert storage[:]["x"].tolist() == [0, 1]
    assert other[:]["x"].tolist() == [9, 1]
    assert not other.path.samefile(storage.path)


def test_the_temporary_file_is_removed():
    storage = H5Storage(3)
    path = storage.path
    assert path.is_file()
    del storage
    assert not path.parent.exists()


def test_bad_input(tmp_path):
    storage = H5Storage(3, path=tmp_path / "rows.h5")
    with pytest.raises(IndexError, match="`extend` first"):
        storage.get(0)
    storage.set(range(2), rows(0, 2))
    with pytest.raises(FileExistsError, match="give another `path`"):
        H5Storage(3, path=tmp_path / "rows.h5")
    with pytest.raises(IndexError, match=r"Rows \[2, 3\] are out of range"):
        storage.set(range(2, 4), rows(0, 2))
    with pytest.raises(SpecError, match="Cast it"):
        storage.set(0, rows(0, 1)[0].update({"x": torch.tensor(1.0)}))
    with pytest.raises(MissingKeyError):
        storage.set(0, rows(0, 1)[0].exclude("x"))
    with pytest.raises(ShapeError, match="use `add`"):
        storage.rows_of(torch.tensor(1))
    with pytest.raises(SpecError, match="cast it to float32"):
        H5Storage(2).set(range(1), {"a": torch.ones(1, dtype=torch.bfloat16)})
    with pytest.raises(TypeError, match="ReplayBufferService"):
        pickle.dumps(storage)
    assert storage[:]["x"].tolist() == [0, 1]


def test_another_layout_or_a_damaged_file(tmp_path):
    rb = ReplayBuffer(storage=H5Storage(3))
    rb.extend(rows(0, 2))
    rb.dumps(tmp_path / "saved")
    other = ReplayBuffer(storage=H5Storage(3))
    other.extend({"z": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="new buffer"):
        other.loads(tmp_path / "saved")
    (file,) = (tmp_path / "saved").rglob("rows.h5")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=r"rows\.h5"):
        rb.loads(tmp_path / "saved")
    assert rb[:]["x"].tolist() == [0, 1]
