"""Columns in memory-mapped files, for buffers larger than memory or shared between processes."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import torch
from tensordict import MemoryMappedTensor
from torch import Tensor

from rl.data.storages.columns import Columns, analyse, tails_of
from rl.data.storages.tensor_storage import LazyTensorStorage

__all__ = ["LazyMemmapStorage"]


class LazyMemmapStorage(LazyTensorStorage):
    """Columns in files, one per leaf, allocated from the first rows that are written.

    Args:
        max_size: capacity in elements.
        scratch_dir: folder of the files; a temporary one by default.
        device: device of the rows that are read: `"cpu"`, as the files are.
        ndim: as in `LazyTensorStorage`.
        existsok: whether files in `scratch_dir` may be overwritten.
        auto_cleanup: whether the files are removed with the storage; by default those in a
            temporary folder are, those in `scratch_dir` stay.

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
        auto_cleanup: bool | None = None,
    ) -> None:
        if torch.device(device).type != "cpu":
            raise ValueError(
                f"`device` is {device}, but memory maps are on the CPU. Move samples with "
                "`rb.append_transform(lambda td: td.to(device))`."
            )
        super().__init__(max_size, device="cpu", ndim=ndim)
        self.scratch_dir = None if scratch_dir is None else Path(scratch_dir)
        self.existsok = existsok
        self.auto_cleanup = scratch_dir is None if auto_cleanup is None else auto_cleanup

    def _allocate(self, data: Any, batched: bool) -> Columns:  # noqa: ANN401
        structure, leaves = analyse(data, batched, self.ndim)
        max_rows = self._rows_for(data, batched)
        # numbered, since the keys ("a", "b") and "a.b" would share a name
        names = ["-".join(path).replace(os.sep, "-") or "data" for path in structure.paths()]
        files = [f"{i:02d}-{name}" for i, name in enumerate(names)]
        folder = self._folder(files)
        tensors = [
            _map_file(folder / f"{name}.memmap", (max_rows, *tail), leaf.dtype)
            for name, tail, leaf in zip(files, tails_of(leaves, batched), leaves, strict=True)
        ]
        return Columns(structure, tensors, self.ndim)

    def _folder(self, files: list[str]) -> Path:
        if self.scratch_dir is None:
            folder = Path(tempfile.mkdtemp(prefix="rl-buffer-"))
        else:
            folder = self.scratch_dir
            taken = [name for name in files if (folder / f"{name}.memmap").exists()]
            if taken and not self.existsok:
                raise FileExistsError(
                    f"`{folder}` already holds `{taken[0]}.memmap`. Pass another `scratch_dir`, or "
                    "`existsok=True` to overwrite it."
                )
            folder.mkdir(parents=True, exist_ok=True)
        if self.auto_cleanup:
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder


def _map_file(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    path.unlink(missing_ok=True)
    mapped = MemoryMappedTensor.empty(shape, dtype=dtype, filename=str(path))
    # a plain tensor on the same memory: the subclass costs on every operation
    return mapped.as_subclass(Tensor)
