import multiprocessing
import os

import pytest
import torch

from rl.data.storages.column_files import ColumnFiles, copy_bytes, memory_folder, remove_by_owner
from rl.data.storages.structure import Structure

KINDS = [((2,), torch.float32), ((), torch.bool)]


def structure():
    return Structure.of({"a": torch.zeros(1, 2), "b": {"c": torch.zeros(1)}}, (), 1)


def test_what_is_written_is_there_for_who_maps_it(tmp_path):
    mine = ColumnFiles(tmp_path).create(structure(), KINDS, 5, 1)
    other = ColumnFiles(tmp_path).open()
    mine.tensors[0][3] = 2.0
    other.tensors[1][4] = True
    assert other.gather(torch.tensor([3]))["a"].tolist() == [[2.0, 2.0]]
    assert mine.view(slice(None), 5)["b"]["c"].tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("data", [torch.zeros(1, 3), (torch.zeros(1), [torch.zeros(1, 2)])])
def test_other_containers(tmp_path, data):
    made = Structure.of(data, (), 1)
    leaves = made.flatten(data)
    ColumnFiles(tmp_path).create(made, [(t.shape[1:], t.dtype) for t in leaves], 4, 1)
    opened = ColumnFiles(tmp_path).open()
    assert opened.structure.describe() == made.describe()
    assert [len(tensor) for tensor in opened.tensors] == [4] * len(leaves)


def test_files_are_replaced_only_on_demand(tmp_path):
    ColumnFiles(tmp_path).create(structure(), KINDS, 5, 1).tensors[0].fill_(1)
    with pytest.raises(FileExistsError, match="existsok=True"):
        ColumnFiles(tmp_path).create(structure(), KINDS, 5, 1)
    assert not ColumnFiles(tmp_path).create(structure(), KINDS, 5, 1, replace=True).tensors[0].any()


@pytest.mark.parametrize("kernel", [True, False])
def test_bytes_are_copied_over_the_first_ones(tmp_path, monkeypatch, kernel):
    if not kernel:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    content = os.urandom(9_000_001)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(content)
    target.write_bytes(bytes(len(content)))
    copy_bytes(source, target, len(content) - 1)
    assert target.read_bytes() == content[:-1] + b"\0"
    with pytest.raises(OSError, match="were expected"):
        copy_bytes(source, target, len(content) + 1)


def test_a_fork_does_not_remove_what_its_parent_uses():
    folder = memory_folder()
    worker = multiprocessing.get_context("fork").Process(
        target=remove_by_owner, args=(folder, os.getpid())
    )
    worker.start()
    worker.join(60)
    assert folder.exists()
    remove_by_owner(folder, os.getpid())
    assert not folder.exists()
