"""Columns in the files of one folder, which any process can map, and copies from file to file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from tensordict import MemoryMappedTensor, TensorDict
from torch import Tensor

from rl.core.checkpoint.files import write_atomic
from rl.data.storages.columns import Columns
from rl.data.storages.layout import layout_of, nest_columns
from rl.data.storages.structure import Structure

__all__ = ["ColumnFiles", "copy_bytes", "memory_folder", "remove_by_owner"]

_LAYOUT = "layout.json"


class ColumnFiles:
    """One file per column in `folder`, and `layout.json`, which says what they hold.

    Args:
        folder: where the files are; made when need be.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> structure = Structure.of({"x": torch.zeros(2, 3)}, (), 1)
        >>> columns = ColumnFiles(folder).create(structure, [((3,), torch.float32)], 8, 1)
        >>> columns.tensors[0][5] = 1.0
        >>> ColumnFiles(folder).open().tensors[0][5]
        tensor([1., 1., 1.])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self.replace = False

    def create(
        self,
        structure: Structure,
        kinds: list[tuple[Any, torch.dtype]],
        max_rows: int,
        ndim: int,
        *,
        replace: bool = False,
    ) -> Columns:
        """Return zeroed columns for `max_rows` rows.

        Args:
            structure: the containers around the columns.
            kinds: shape of a row and dtype of each column.
            max_rows: capacity along the first dimension.
            ndim: number of row dimensions.
            replace: whether files of the same names are replaced.

        Raises:
            FileExistsError: there are files of these names, and `replace` is False.
        """
        self.files = [self.folder / name for name in _names(structure)]
        taken = [path for path in self.files if path.exists()]
        if taken and not (replace or self.replace):
            raise FileExistsError(
                f"`{self.folder}` already holds `{taken[0].name}`. Pass another `scratch_dir`, or "
                "`existsok=True` to overwrite it."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in taken:
            path.unlink()
        shapes = [(max_rows, *tail) for tail, _ in kinds]
        tensors = [
            _map(path, shape, dtype, new=True)
            for path, shape, (_, dtype) in zip(self.files, shapes, kinds, strict=True)
        ]
        columns = Columns(structure, tensors, ndim)
        document = {"ndim": ndim, "max_rows": max_rows, "layout": layout_of(columns)}
        write_atomic(self.folder / _LAYOUT, json.dumps(document).encode())
        return columns

    def open(self) -> Columns:
        """Map the columns that another process, or an earlier one, created."""
        document = json.loads((self.folder / _LAYOUT).read_text())
        layout, ndim = document["layout"], document["ndim"]
        paths = [tuple(path) for path, _, _ in layout["columns"]]
        samples = TensorDict({}, batch_size=[1])
        for path, (_, tail, dtype) in zip(paths, layout["columns"], strict=True):
            empty = torch.empty(1, *tail, dtype=getattr(torch, dtype.removeprefix("torch.")))
            samples[path or "data"] = empty
        structure = Structure.of(nest_columns(samples, layout), (), ndim)
        self.files = [self.folder / name for name in _names(structure)]
        tensors = [
            _map(file, (document["max_rows"], *samples[path or "data"].shape[1:]), dtype, new=False)
            for file, path, dtype in zip(
                self.files, paths, [samples[p or "data"].dtype for p in paths], strict=True
            )
        ]
        return Columns(structure, tensors, ndim)


def _names(structure: Structure) -> list[str]:
    # numbered, since the keys ("a", "b") and "a-b" would share a name
    names = ["-".join(path).replace(os.sep, "-") or "data" for path in structure.paths()]
    return [f"{i:02d}-{name}.memmap" for i, name in enumerate(names)]


def _map(path: Path, shape: tuple[int, ...], dtype: torch.dtype, *, new: bool) -> Tensor:
    if new:
        mapped = MemoryMappedTensor.empty(shape, dtype=dtype, filename=str(path))
    else:
        mapped = MemoryMappedTensor.from_filename(path, dtype, torch.Size(shape))
    # a plain tensor on the same memory: the subclass costs on every operation
    return mapped.as_subclass(Tensor)


def memory_folder() -> Path:
    """Make a temporary folder in shared memory, where the system has such a place."""
    place = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="rl-buffer-", dir=place if place.is_dir() else None))


def remove_by_owner(folder: Path, owner: int) -> None:
    """Remove a folder, unless this process is a fork of the `owner`, which goes on using it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def copy_bytes(source: Path, target: Path, count: int) -> None:
    """Copy the first `count` bytes of a file over those of another, which keeps its other bytes.

    The bytes stay in the kernel, so that a file larger than memory can be copied; a file system
    that can share blocks copies nothing.
    """
    with open(source, "rb") as reader, open(target, "r+b") as writer:
        done = 0
        while done < count:
            moved = _move(reader.fileno(), writer.fileno(), done, min(count - done, 1 << 28))
            if moved == 0:
                raise OSError(f"`{source}` has {done} bytes, {count} were expected.")
            done += moved


def _move(reader: int, writer: int, offset: int, count: int) -> int:
    try:
        return os.copy_file_range(reader, writer, count, offset, offset)
    except (AttributeError, OSError):  # not there, or not between these file systems
        block = os.pread(reader, min(count, 1 << 23), offset)
        return os.pwrite(writer, block, offset)
