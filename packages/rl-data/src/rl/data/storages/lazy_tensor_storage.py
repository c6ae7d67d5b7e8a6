"""Columns allocated from the first rows, in memory or in files that processes share."""

from __future__ import annotations

import copy
import os
import weakref
from typing import Any

import torch

from rl.core.errors import SpecError
from rl.data.storages.base import Checkpointer, Storage
from rl.data.storages.column_files import ColumnFiles, memory_folder, remove_by_owner
from rl.data.storages.columns import Columns, analyse, tails_of
from rl.data.storages.tensor_storage import TensorStorage

__all__ = ["LazyTensorStorage"]


class LazyTensorStorage(TensorStorage):
    """Columns in memory, allocated from the first rows that are written.

    Args:
        max_size: capacity in elements.
        device: where the columns live; `"auto"` takes the device of the first rows.
        ndim: number of leading dimensions that number elements; with `ndim=2`, rows of shape
            `[T, B, ...]` are written along the first and sampled as `T * B` elements.
        shared_init: whether the columns are files in shared memory, which every process that has
            the buffer maps; see `ReplayBuffer(shared=True)`. The process that made the storage
            removes them at its end.
        checkpointer: how the rows are saved, as memory maps by default.

    Raises:
        ValueError: `max_size` or `ndim` is not positive, or `shared_init` is asked of another
            device than the CPU.

    Example:
        >>> from tensordict import TensorDict
        >>> storage = LazyTensorStorage(10)
        >>> storage.set(range(2), TensorDict({"x": torch.ones(2, 3)}, [2]))
        >>> len(storage), storage[0]["x"].shape
        (2, torch.Size([3]))
    """

    def __init__(
        self,
        max_size: int,
        *,
        device: str | torch.device | None = "cpu",
        ndim: int = 1,
        shared_init: bool = False,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        Storage.__init__(self, max_size, checkpointer)
        if ndim < 1:
            raise ValueError(f"`ndim` is {ndim}, expected at least 1.")
        self.ndim = ndim
        self.device = None if device in (None, "auto") else torch.device(device)
        self._columns = None
        self.files: ColumnFiles | None = None
        if shared_init:
            if device not in (None, "auto") and torch.device(device).type != "cpu":
                raise ValueError(
                    f"`device` is {device}, but `shared_init=True` keeps the rows in memory that "
                    "processes share, on the CPU. Leave `device` out and move samples."
                )
            self.files = ColumnFiles(memory_folder())
            weakref.finalize(self, remove_by_owner, self.files.folder, os.getpid())

    def _allocate(self, data: Any, batched: bool) -> Columns:  # noqa: ANN401
        if self.files is not None:
            return self._create_files(self.files, data, batched, replace=False)
        return Columns.allocate(
            data, batched, self._rows_for(data, batched), self.ndim, self.device
        )

    def _create_files(
        self,
        files: ColumnFiles,
        data: Any,  # noqa: ANN401
        batched: bool,
        replace: bool,
    ) -> Columns:
        structure, leaves = analyse(data, batched, self.ndim)
        tails = tails_of(leaves, batched)
        kinds = [(tail, leaf.dtype) for tail, leaf in zip(tails, leaves, strict=True)]
        max_rows = self._rows_for(data, batched)
        return files.create(structure, kinds, max_rows, self.ndim, replace=replace)

    def __getstate__(self) -> dict[str, Any]:
        # what is in files is mapped again by who gets the storage, not copied
        state = dict(vars(self))
        if self.files is not None:
            state["_columns"] = None
            state["_allocated"] = self._columns is not None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        allocated = state.pop("_allocated", False)
        vars(self).update(state)
        if allocated:
            self.map_files()

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyTensorStorage:
        """Copy the rows, where they are in files to files of their own, in a temporary folder."""
        if self.files is None:
            made = type(self).__new__(type(self))
            memo[id(self)] = made
            vars(made).update(copy.deepcopy(vars(self), memo))
            return made
        made = self._sibling()
        memo[id(self)] = made
        made.load_state_dict(self.state_dict())
        return made

    def _sibling(self) -> LazyTensorStorage:
        return LazyTensorStorage(
            self.max_size, ndim=self.ndim, shared_init=True, checkpointer=self.checkpointer
        )

    def map_files(self) -> None:
        """Map the columns that another process created."""
        self._columns = self._filled_files().open()

    def _filled_files(self) -> ColumnFiles:
        if self.files is None:
            raise SpecError("The storage has no files: pass `shared_init=True`.")
        return self.files

    def room_for(self, data: Any) -> int:  # noqa: ANN401
        """Return the capacity along the first dimension for rows like those of the batch `data`."""
        if self._columns is not None or self.ndim == 1:
            return self.max_rows
        return self._rows_for(data, True)

    def _rows_for(self, data: Any, batched: bool) -> int:  # noqa: ANN401
        _, leaves = analyse(data, batched, self.ndim)
        tail = tails_of(leaves, batched)[0]
        return max(1, self.max_size // max(1, tail[: self.ndim - 1].numel()))
