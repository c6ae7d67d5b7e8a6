import torch

from rl.data.sharing.journal import JournaledColumns
from rl.data.sharing.numbers import SharedNumbers
from rl.data.storages.column_files import ColumnFiles
from rl.data.storages.structure import Structure


def test_an_unfinished_write_is_taken_back(tmp_path):
    numbers = SharedNumbers(tmp_path / "n", fresh=True)
    structure = Structure.of({"a": torch.zeros(1), "b": torch.zeros(1, 2)}, (), 1)
    kinds = [((), torch.float32), ((2,), torch.float32)]
    columns = ColumnFiles(tmp_path).create(structure, kinds, 6, 1)
    mine = JournaledColumns(columns, tmp_path / "undo", numbers, fresh=True)
    mine.write(range(4), [torch.arange(4.0), torch.ones(4, 2)])
    numbers.change(rows=4)
    assert numbers.read().undo == 0, "new rows need no journal"
    before = [tensor.clone() for tensor in mine.tensors]

    mine.write(torch.tensor([5, 3, 0]), [torch.full((3,), 9.0), torch.full((3, 2), 9.0)])
    assert numbers.read().undo == 2, "rows in use were not kept"
    other = JournaledColumns(
        ColumnFiles(tmp_path).open(), tmp_path / "undo", SharedNumbers(tmp_path / "n"), fresh=False
    )
    other.undo()
    for tensor, old in zip(mine.tensors, before, strict=True):
        assert torch.equal(tensor[:4], old[:4])
    assert numbers.read().undo == 0
