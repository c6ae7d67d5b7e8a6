"""Buffers of a vector env: one block of memory that has a row per env for each leaf."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tensordict import NestedKey, TensorDict

from rl.core import Composite, NonTensor, TensorSpec
from rl.envs.vector.slots import Slot

__all__ = ["Buffers", "Layout", "anonymous_file"]

_ALIGN = 64
_NUMPY_DTYPES = {
    torch.bool: np.bool_,
    torch.uint8: np.uint8,
    torch.int8: np.int8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.float16: np.float16,
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.complex64: np.complex64,
    torch.complex128: np.complex128,
}

#: the three parts of a buffer: what a step reads, what it writes, and what a reset writes
SECTIONS = ("inputs", "next", "first")


@dataclass(frozen=True)
class _Leaf:
    path: tuple[str, ...]
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @property
    def key(self) -> NestedKey:
        return self.path[0] if len(self.path) == 1 else self.path

    def view(self, memory: memoryview) -> np.ndarray:
        count = int(np.prod(self.shape))
        flat = np.frombuffer(memory, self.dtype, count=count, offset=self.offset)
        return flat.reshape(self.shape)


class Layout:
    """Where each leaf lies in the block, for `num_rows` envs with the same specs.

    Args:
        sections: the Composite of one env for each of `SECTIONS`.
        num_rows: the number of envs.
    """

    def __init__(self, sections: dict[str, Composite], num_rows: int) -> None:
        self.num_rows = num_rows
        self.batch_sizes = {
            name: {path: (num_rows, *shape) for path, shape in _groups(spec)}
            for name, spec in sections.items()
        }
        self.leaves: dict[str, list[_Leaf]] = {}
        offset = 0
        for name, spec in sections.items():
            self.leaves[name] = []
            for key, leaf in spec.items(True, True):
                dtype = np.dtype(_NUMPY_DTYPES[leaf.dtype])
                shape = (num_rows, *leaf.shape)
                path = (key,) if isinstance(key, str) else key
                self.leaves[name].append(_Leaf(path, dtype, shape, offset))
                size = dtype.itemsize * int(np.prod(shape))
                offset += -(-size // _ALIGN) * _ALIGN
        self.num_bytes = max(offset, _ALIGN) + num_rows
        self._mask_offset = max(offset, _ALIGN)

    @staticmethod
    def fits(specs: Sequence[TensorSpec]) -> bool:
        """Tell whether every leaf is a tensor of fixed shape that numpy can hold."""
        return all(
            not isinstance(leaf, NonTensor)
            and leaf.dtype in _NUMPY_DTYPES
            and all(size >= 0 for size in leaf.shape)
            for spec in specs
            for leaf in spec.values(True, True)
        )

    def mask(self, memory: memoryview) -> np.ndarray:
        """Return the [num_rows] bool mask that selects envs for a partial step or reset."""
        return np.frombuffer(memory, np.bool_, self.num_rows, self._mask_offset)


def _groups(
    spec: Composite, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], torch.Size]]:
    found = [(path, spec.shape)]
    for key, value in spec.items():
        if isinstance(value, Composite):
            found += _groups(value, (*path, key))
    return found


class Buffers:
    """A layout over a block of memory.

    Args:
        layout: the layout.
        memory: a writable block of at least `layout.num_bytes`; None allocates one in this process.
    """

    def __init__(self, layout: Layout, memory: mmap.mmap | None = None) -> None:
        self.layout = layout
        self._memory = memoryview(bytearray(layout.num_bytes) if memory is None else memory)
        self.mask = layout.mask(self._memory)
        self.arrays = {
            name: {leaf.path: leaf.view(self._memory) for leaf in leaves}
            for name, leaves in layout.leaves.items()
        }

    def slots(self, row: int) -> tuple[Slot, Slot]:
        """Return the slot of a step and the slot of a reset of env `row`."""
        inputs, inputs_rows = self._row("inputs", row)
        following, following_rows = self._row("next", row)
        first, first_rows = self._row("first", row)
        nothing = TensorDict({}, batch_size=first.batch_size)
        return (
            Slot(inputs, following, inputs_rows, following_rows),
            Slot(first, nothing, first_rows, {}),
        )

    def _row(self, section: str, row: int) -> tuple[TensorDict, dict[NestedKey, np.ndarray]]:
        sizes = self.layout.batch_sizes[section]
        result = TensorDict({}, batch_size=sizes[()][1:])
        for path, size in sizes.items():
            if path:
                result.set(path, TensorDict({}, batch_size=size[1:]))
        rows: dict[NestedKey, np.ndarray] = {}
        for path, array in self.arrays[section].items():
            key = path[0] if len(path) == 1 else path
            # a 0-dim row must stay an array, or writes would be lost
            rows[key] = array[row : row + 1].reshape(array.shape[1:])
            result.set(key, torch.from_numpy(rows[key]))
        return result.lock_(), rows

    def release(self) -> None:
        """Drop every view of the block, so that it can be unmapped."""
        self.arrays = {}
        self.mask = np.zeros(0, bool)
        self._memory = memoryview(b"")


def anonymous_file() -> int:
    """Return the descriptor of an empty file that has no name: it is gone when its last user is."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rl-envs", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
