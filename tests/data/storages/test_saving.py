import json

import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import CheckpointError
from rl.data import LazyMemmapStorage, LazyTensorStorage, ListStorage
from rl.data.storages import load_storage, save_storage


def saved(path, n=4):
    storage = LazyTensorStorage(10)
    storage.set(range(n), TensorDict({"x": torch.arange(n), "y": {"z": torch.ones(n, 2)}}, [n]))
    save_storage(path, storage, {"step": n})
    return storage


@pytest.mark.parametrize("make", [LazyTensorStorage, LazyMemmapStorage])
def test_round_trip(tmp_path, make):
    storage = saved(tmp_path)
    other = make(10)
    assert load_storage(tmp_path, other) == {"step": 4}
    assert (other[:] == storage[:]).all()


def test_the_rows_are_memory_maps_of_a_tensordict(tmp_path):
    storage = saved(tmp_path)
    (folder,) = tmp_path.glob("rows-*")
    assert (TensorDict.load_memmap(folder) == storage[:]).all()


@pytest.mark.parametrize("data", [torch.arange(3), (torch.zeros(3), {"a": torch.ones(3, 1)})])
def test_other_containers(tmp_path, data):
    storage, other = LazyTensorStorage(5), LazyTensorStorage(5)
    storage.set(range(3), data)
    save_storage(tmp_path, storage)
    load_storage(tmp_path, other)
    assert str(other[:]) == str(storage[:])


def test_an_empty_storage(tmp_path):
    save_storage(tmp_path, LazyTensorStorage(5))
    other = LazyTensorStorage(5)
    other.set(0, torch.zeros(2))
    load_storage(tmp_path, other)
    assert len(other) == 0


def test_a_second_save_replaces_the_first(tmp_path):
    saved(tmp_path)
    saved(tmp_path, n=6)
    other = LazyTensorStorage(10)
    assert load_storage(tmp_path, other) == {"step": 6}
    assert len(list(tmp_path.glob("rows-*"))) == 1


def test_a_save_that_fails_leaves_the_first(tmp_path, monkeypatch):
    storage = saved(tmp_path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("rl.data.storages.saving.save_state", fail)
    with pytest.raises(OSError, match="disk full"):
        saved(tmp_path, n=6)
    other = LazyTensorStorage(10)
    assert load_storage(tmp_path, other) == {"step": 4}
    assert (other[:] == storage[:]).all()


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def flip(file):
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, lambda file: file.unlink()])
@pytest.mark.parametrize("name", ["x.memmap", "z.memmap", "meta.json", "manifest.json"])
def test_damage_is_found_and_named_and_changes_nothing(tmp_path, damage, name):
    saved(tmp_path)
    file = next(tmp_path.rglob(name))
    damage(file)
    other = LazyTensorStorage(10)
    other.set(range(2), TensorDict({"x": torch.arange(2), "y": {"z": torch.zeros(2, 2)}}, [2]))
    with pytest.raises(CheckpointError, match=name):
        load_storage(tmp_path, other)
    assert other[:]["y", "z"].sum() == 0


def test_a_folder_without_a_save_raises(tmp_path):
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        load_storage(tmp_path, LazyTensorStorage(10))


def test_a_storage_that_does_not_fit_raises(tmp_path):
    saved(tmp_path)
    with pytest.raises(CheckpointError, match=r"field `storage`.*Build it with max_size=10"):
        load_storage(tmp_path, LazyTensorStorage(11))
    with pytest.raises(CheckpointError, match="of a tensor storage, this is a `ListStorage`"):
        load_storage(tmp_path, ListStorage(10))


def test_nothing_saved_is_a_pickle(tmp_path):
    saved(tmp_path)
    kinds = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert kinds == {".json", ".memmap", ".safetensors"}
    json.loads((tmp_path / "manifest.json").read_text())
