"""Columns whose writes can be taken back when their process dies in the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rl.data.sharing.numbers import SharedNumbers
from rl.data.storages.column_files import ColumnFiles
from rl.data.storages.columns import Columns

__all__ = ["JournaledColumns"]


class JournaledColumns(Columns):
    """Columns that copy the rows which a write replaces to a journal first.

    `SharedNumbers.undo` says how many rows of the journal belong to a write that is not finished;
    `undo` puts them back. Rows beyond those in use are seen by nobody and need no journal. The
    journal has the size of the columns, in files that take space only where they are written.

    Args:
        columns: the columns.
        folder: where the journal is.
        numbers: what the processes agree on.
        fresh: whether the journal is made.
    """

    def __init__(
        self, columns: Columns, folder: Path, numbers: SharedNumbers, *, fresh: bool
    ) -> None:
        row_dims = columns.inner_dims + 1
        super().__init__(columns.structure, columns.tensors, row_dims)
        self._numbers = numbers
        files = ColumnFiles(folder)
        if fresh:
            kinds = [(tensor.shape[1:], tensor.dtype) for tensor in columns.tensors]
            max_rows = len(columns.tensors[0])
            saved = files.create(columns.structure, kinds, max_rows, row_dims, replace=True)
        else:
            saved = files.open()
        self._saved = saved.tensors
        mode = "w+" if fresh else "r+"
        shape = (len(columns.tensors[0]),)
        self._replaced = torch.from_numpy(
            np.memmap(folder / "replaced.i64", dtype=np.int64, mode=mode, shape=shape)
        )

    def write(self, cursor: int | range | Tensor, leaves: list[Tensor]) -> None:
        """Write checked leaves; the write is finished by the change that sets `undo` to 0."""
        rows = torch.as_tensor([cursor] if isinstance(cursor, int) else cursor)
        rows = rows[rows < self._numbers.read().rows]
        count = len(rows)
        if count:
            self._replaced[:count] = rows
            for tensor, saved in zip(self.tensors, self._saved, strict=True):
                torch.index_select(tensor, 0, rows, out=saved[:count])
            self._numbers.change(undo=count)
        super().write(cursor, leaves)

    def undo(self) -> None:
        """Put back what an unfinished write replaced."""
        count = self._numbers.read().undo
        rows = self._replaced[:count]
        for tensor, saved in zip(self.tensors, self._saved, strict=True):
            tensor[rows] = saved[:count]
        self._numbers.change(undo=0)
