"""Columns in memory-mapped files, for buffers larger than memory or shared between processes."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict

from rl.data.storages.base import Checkpointer
from rl.data.storages.column_files import ColumnFiles, copy_bytes, remove_by_owner
from rl.data.storages.columns import Columns
from rl.data.storages.layout import column_names, nest_columns
from rl.data.storages.lazy_tensor_storage import LazyTensorStorage

__all__ = ["LazyMemmapStorage"]


class LazyMemmapStorage(LazyTensorStorage):
    """Columns in files, one per leaf, allocated from the first rows that are written.

    Saving and loading copy from file to file: no row passes through the memory of the process. Who
    gets the storage in another process maps the same files; buffers that both write need
    `shared=True`.

    Args:
        max_size: capacity in elements.
        scratch_dir: folder of the files; a temporary one by default.
        device: device of the rows that are read: `"cpu"`, as the files are.
        ndim: as in `LazyTensorStorage`.
        existsok: whether files in `scratch_dir` may be overwritten.
        shared_init: taken for its callers' sake: the files can always be shared.
        auto_cleanup: whether the files are removed with the storage; by default those in a
            temporary folder are, those in `scratch_dir` stay.
        checkpointer: how the rows are saved, as memory maps by default.

    Raises:
        ValueError: `device` is not the CPU.
        FileExistsError: at the first write, `scratch_dir` holds files and `existsok` is False.

    Example:
        >>> storage = LazyMemmapStorage(10)
        >>> storage.set(range(2), {"x": torch.ones(2, 3)})
        >>> storage.get(torch.tensor([1]))["x"]
        tensor([[1., 1., 1.]])
    """

    def __init__(
        self,
        max_size: int,
        *,
        scratch_dir: str | os.PathLike[str] | None = None,
        device: str | torch.device = "cpu",
        ndim: int = 1,
        existsok: bool = False,
        shared_init: bool = False,
        auto_cleanup: bool | None = None,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        if torch.device(device).type != "cpu":
            raise ValueError(
                f"`device` is {device}, but memory maps are on the CPU. Move samples with "
                "`rb.append_transform(lambda td: td.to(device))`."
            )
        super().__init__(max_size, device="cpu", ndim=ndim, checkpointer=checkpointer)
        self.scratch_dir = None if scratch_dir is None else Path(scratch_dir)
        self.existsok = existsok
        self.auto_cleanup = scratch_dir is None if auto_cleanup is None else auto_cleanup
        if shared_init:
            self.claim_folder()

    def claim_folder(self) -> ColumnFiles:
        """Settle where the files will be, which processes that share them must know."""
        if self.files is None:
            folder = self.scratch_dir or Path(tempfile.mkdtemp(prefix="rl-buffer-"))
            self.files = ColumnFiles(folder)
            if self.auto_cleanup:
                weakref.finalize(self, remove_by_owner, folder, os.getpid())
        return self.files

    def _allocate(self, data: Any, batched: bool) -> Columns:  # noqa: ANN401
        files = self.claim_folder()
        return self._create_files(files, data, batched, replace=self.existsok)

    def _sibling(self) -> LazyMemmapStorage:
        return LazyMemmapStorage(self.max_size, ndim=self.ndim, checkpointer=self.checkpointer)

    # --------------------------------------------------------------- saving

    def write_rows(self, folder: Path) -> None:
        """Copy the rows in use to the memory maps of a TensorDict (`TensorDict.load_memmap`)."""
        if self._columns is None or not self._rows:
            return
        made = self._snapshot().memmap_like(str(folder))
        sources = self._filled_files().files
        for name, source in zip(column_names(self._columns), sources, strict=True):
            tensor = made.get(name)
            copy_bytes(source, Path(tensor.filename), tensor.numel() * tensor.element_size())

    def read_rows(self, folder: Path, described: dict[str, Any]) -> None:
        """Copy the files that `write_rows` wrote over those of the storage."""
        self._rows = 0
        if not described["rows"]:
            return
        saved = TensorDict.load_memmap(str(folder))
        if self._columns is None:
            self._columns = self._allocate(nest_columns(saved, described["layout"]), True)
        targets = self._filled_files().files
        for name, target in zip(column_names(self._columns), targets, strict=True):
            tensor = saved.get(name)
            copy_bytes(Path(tensor.filename), target, tensor.numel() * tensor.element_size())
        self._rows = described["rows"]
