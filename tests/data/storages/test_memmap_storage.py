import gc

import pytest
import torch
from tensordict import TensorDict

from rl.data import LazyMemmapStorage


def td(n):
    return TensorDict(
        {"a": {"b": torch.arange(n)}, "a.b": torch.ones(n, 2), "flag": torch.ones(n).bool()}, [n]
    )


def test_rows_live_in_files(tmp_path):
    storage = LazyMemmapStorage(10, scratch_dir=tmp_path)
    storage.set(range(4), td(4))
    assert (storage.get(torch.tensor([3, 1])) == td(4)[[3, 1]]).all()
    sizes = sorted(file.stat().st_size for file in tmp_path.glob("*.memmap"))
    assert sizes == [10, 80, 80]
    del storage
    gc.collect()
    assert len(list(tmp_path.glob("*.memmap"))) == 3


def test_files_of_others_are_not_overwritten(tmp_path):
    LazyMemmapStorage(10, scratch_dir=tmp_path).set(range(4), td(4))
    other = LazyMemmapStorage(10, scratch_dir=tmp_path)
    with pytest.raises(FileExistsError, match="`existsok=True` to overwrite"):
        other.set(range(4), td(4))
    allowed = LazyMemmapStorage(10, scratch_dir=tmp_path, existsok=True)
    allowed.set(range(2), td(2))
    assert len(allowed) == 2


@pytest.mark.parametrize("cleanup", [None, True])
def test_files_go_with_the_storage(tmp_path, monkeypatch, cleanup):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = None if cleanup is None else tmp_path / "own"
    storage = LazyMemmapStorage(10, scratch_dir=folder, auto_cleanup=cleanup)
    storage.set(0, td(1)[0])
    assert len(list(tmp_path.iterdir())) == 1
    del storage
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_another_device_raises():
    with pytest.raises(ValueError, match="append_transform"):
        LazyMemmapStorage(10, device="cuda")
