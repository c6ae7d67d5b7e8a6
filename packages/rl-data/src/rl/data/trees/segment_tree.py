"""Wide segment trees: reductions over prefixes and ranges of a changing array.

A node has 64 children, and levels are kept until at most 16 384 nodes are left; that top level is
reduced or scanned whole. So a million leaves are one level below the top, and a batch of updates
or searches costs a few vectorised operations: at these sizes each of them takes as long to call
as to run, in numpy or torch, whichever is the faster.

Every reduction over the children of a node runs in the same order wherever the node stands in a
batch, so a tree restored from its leaves equals, bit for bit, the tree that was saved.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl.data.trees.least_leaf import LeastLeaf

__all__ = [
    "MinSegmentTreeFp32",
    "MinSegmentTreeFp64",
    "MinTree",
    "SegmentTree",
    "SumSegmentTreeFp32",
    "SumSegmentTreeFp64",
    "SumTree",
]

_FANOUT = 64
_TOP = 16_384
# largest float64 factor that keeps `x * _BELOW < x` for every positive normal x
_BELOW = 1.0 - 2.0**-52

_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}

Numbers = float | Tensor | np.ndarray
Index = int | Tensor | np.ndarray


class SegmentTree(ABC):
    """An array of `size` numbers with fast reductions; all start at the identity element.

    Args:
        size: number of leaves.
        dtype: `torch.float32` or `torch.float64`.

    Raises:
        ValueError: `size` is not positive, or `dtype` is another.

    Example:
        >>> tree: SegmentTree = MinTree(3)
        >>> tree.update(torch.tensor([0, 2]), torch.tensor([4.0, 5.0]))
        >>> tree.leaves()
        tensor([4., inf, 5.])
    """

    identity_element: float
    _ufunc: np.ufunc
    _over_children: Callable[[Tensor, int], Tensor]
    _fanout = _FANOUT
    _largest_top = _TOP

    def __init__(self, size: int, dtype: torch.dtype = torch.float32) -> None:
        if size <= 0:
            raise ValueError(f"`size` is {size}, expected a positive number of leaves.")
        if dtype not in _NUMPY:
            raise ValueError(f"`dtype` is {dtype}, expected torch.float32 or torch.float64.")
        self._allocate(size, dtype)

    def _allocate(self, size: int, dtype: torch.dtype) -> None:
        """Make the levels; the leaves are the first."""
        self.size = size
        self.dtype = dtype
        self._levels: list[Any] = []
        width = size
        while True:
            width = -(-width // self._fanout)
            is_top = width * self._fanout <= self._largest_top
            # the reductions of the top level are in float64: spare them the conversion
            kind = torch.float64 if is_top and self._levels else dtype
            self._levels.append(self._full((width, self._fanout), kind))
            if is_top:
                break
        self._flat = [level.reshape(-1) for level in self._levels]
        self._changed()

    def __getstate__(self) -> dict[str, Any]:
        # the levels have views, which a copy must make anew; a process that is sent a tensor would
        # share its memory
        leaves = self.leaves().numpy(force=True)
        return {"size": self.size, "dtype": self.dtype, "leaves": leaves}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._allocate(state["size"], state["dtype"])
        self.load_leaves(torch.from_numpy(state["leaves"]))

    def __len__(self) -> int:
        return self.size

    @property
    def capacity(self) -> int:
        """Number of leaves, padding included."""
        return len(self._flat[0])

    # -------------------------------------------------------------- leaves

    @property
    def numbers(self) -> Any:  # noqa: ANN401 (an array of this tree's kind)
        """The leaves themselves, to be read only; padding included."""
        return self._flat[0]

    def __getitem__(self, index: Index) -> Tensor | float:
        if isinstance(index, int):
            return float(self._flat[0][index])
        return torch.as_tensor(self.at(self.array(index)))

    def __setitem__(self, index: Index, value: float | Tensor | np.ndarray) -> None:
        self.update(index, value)

    def update(self, index: Index, value: float | Tensor | np.ndarray) -> None:
        """Set leaves; where an index is repeated its last value stays.

        Raises:
            IndexError: an index is not in `[0, size)`; nothing is changed.
        """
        position = self.array(index)
        if not math.prod(position.shape):
            return
        if not self.within(position, self.size):
            raise IndexError(
                f"Tree indices span [{int(position.min())}, {int(position.max())}], expected them "
                f"in [0, {self.size}): the tree has {self.size} leaves."
            )
        self.store(position, value if isinstance(value, float) else self.array(value))

    def leaves(self) -> Tensor:
        """Return a copy of the leaves, `[size]`."""
        return torch.as_tensor(self._flat[0][: self.size]).clone()

    def load_leaves(self, leaves: Tensor) -> None:
        """Set every leaf and rebuild the tree.

        Raises:
            ValueError: `leaves` is not `[size]` of the tree's dtype.
        """
        if leaves.shape != (self.size,) or leaves.dtype != self.dtype:
            raise ValueError(
                f"Leaves have shape {list(leaves.shape)} and dtype {leaves.dtype}, expected "
                f"[{self.size}] and {self.dtype}."
            )
        self._flat[0][: self.size] = self.array(leaves)
        for below, above in zip(self._levels, self._flat[1:], strict=False):
            above[: len(below)] = self._reduce(below)
        self._changed()

    def clear(self) -> None:
        """Set every leaf to the identity element."""
        for level in self._flat:
            level[:] = self.identity_element
        self._changed()

    def _changed(self) -> None:  # noqa: B027 (optional)
        """Forget what was derived from the top level."""

    # ----------------------------------------------------------- reductions

    @abstractmethod
    def reduce(self) -> float:
        """Return the reduction over all leaves."""

    def query(self, start: int, end: int) -> float:
        """Return the reduction over the leaves `[start, end)`, the identity when it is empty.

        Raises:
            IndexError: the range is not within `[0, size]`.
        """
        if not 0 <= start <= self.size or not 0 <= end <= self.size:
            raise IndexError(f"Range [{start}, {end}) is not within [0, {self.size}].")
        total = self.identity_element
        for flat in self._flat[:-1]:
            if end - start <= 2 * self._fanout:
                break
            left = -(-start // self._fanout) * self._fanout
            right = end // self._fanout * self._fanout
            total = self._ufunc(total, self._total(flat[start:left]))
            total = self._ufunc(total, self._total(flat[right:end]))
            start, end = left // self._fanout, right // self._fanout
        else:
            flat = self._flat[-1]
        return float(self._ufunc(total, self._total(flat[start:end])))

    # ------------------------------- what is done to arrays, here those of numpy

    @staticmethod
    def array(numbers: Numbers, dtype: torch.dtype | None = None) -> Any:  # noqa: ANN401
        """Return numbers as an array of this tree's kind; integers stay integers."""
        if isinstance(numbers, Tensor):
            if numbers.dtype is torch.bfloat16:
                numbers = numbers.float()
            numbers = numbers.numpy(force=True)
        return np.asarray(numbers, None if dtype is None else _NUMPY[dtype])

    @staticmethod
    def within(index: np.ndarray, size: int) -> bool:
        """Tell whether every number of a non-empty integer array is in `[0, size)`."""
        # as unsigned numbers, negative ones are the largest: one reduction instead of two
        signed = index if index.dtype == np.int64 else index.astype(np.int64)
        return bool(np.maximum.reduce(signed.view(np.uint64)) < size)

    @staticmethod
    def extremes(values: np.ndarray) -> tuple[float, float]:
        """Return the smallest and the largest number of a non-empty array."""
        # the methods `min` and `max` take a detour through Python
        return float(np.minimum.reduce(values)), float(np.maximum.reduce(values))

    def at(self, index: np.ndarray) -> Any:  # noqa: ANN401
        """Return the leaves at `index`, an int64 array."""
        return self._flat[0].take(index)

    def store(self, position: np.ndarray, value: float | np.ndarray) -> None:
        """Do what `update` does for positions that are known to be in range."""
        self._flat[0][position] = value
        for below, above in zip(self._levels, self._flat[1:], strict=False):
            position = position // _FANOUT
            if position.size > len(below):  # each node once
                position = np.arange(len(below))
            # `clip` spares the check of what is in range
            above[position] = self._reduce(below.take(position, 0, mode="clip"))
        self._changed()

    def _full(self, shape: tuple[int, ...], dtype: torch.dtype) -> Any:  # noqa: ANN401
        return np.full(shape, self.identity_element, _NUMPY[dtype])

    def _reduce(self, blocks: np.ndarray) -> Any:  # noqa: ANN401
        return type(self)._over_children(torch.from_numpy(blocks), 1).numpy()

    def _total(self, part: np.ndarray) -> float:
        return self._ufunc.reduce(part, dtype=np.float64, initial=self.identity_element)


class SumTree(SegmentTree):
    """Sums over ranges, and the leaf in which a running sum reaches a value.

    Example:
        >>> tree = SumTree(4)
        >>> tree[torch.arange(4)] = torch.tensor([1.0, 0.0, 2.0, 3.0])
        >>> tree.reduce(), tree.query(1, 3)
        (6.0, 2.0)
        >>> tree.scan_lower_bound(torch.tensor([0.5, 1.0, 5.9]))
        tensor([0, 2, 3])
    """

    identity_element = 0.0
    _ufunc = np.add
    _over_children = torch.sum

    def _allocate(self, size: int, dtype: torch.dtype) -> None:
        super()._allocate(size, dtype)
        self._top = torch.from_numpy(self._flat[-1])
        self._sums = torch.zeros(len(self._top) + 1, dtype=torch.float64)

    def reduce(self) -> float:
        """Return the sum of all leaves."""
        return float(self._running()[-1])

    def scan_lower_bound(self, value: float | Tensor | np.ndarray) -> int | Tensor:
        """Return the first index whose inclusive prefix sum exceeds `value`.

        A value at or above the total gives the last leaf that is positive. A leaf that is zero is
        never returned unless all are.

        Args:
            value: number, or tensor of numbers, of any shape, not negative.
        """
        query = self.array(value, torch.float64)
        found = self.search(query.reshape(-1)).reshape(query.shape)
        return int(found) if isinstance(value, float | int) else torch.as_tensor(found)

    def draw(self, share: Tensor) -> tuple[Tensor, Any]:
        """Return the leaves in which running sums reach shares of the sum of all.

        Args:
            share: [n] float64, each in `[0, 1)`.

        Returns:
            Their indices, [n] int64, and their values, [n], an array of this tree's kind.
        """
        found = self.search(share.numpy() * self.reduce())
        return torch.from_numpy(found), self.at(found)

    def least_leaf(self) -> LeastLeaf:
        """Return what follows the smallest positive leaf."""
        return LeastLeaf(self.numbers)

    def search(self, value: np.ndarray) -> np.ndarray:
        """Return `scan_lower_bound` of a one-dimensional float64 array."""
        # in order, neighbours take the same branches and cache lines
        order = value.argsort()
        running = self._running()
        rest = value[order]
        node = running[1:].searchsorted(rest, "right")
        if node[-1] == running.size - 1:
            # values at or above the total go to the last node that has a positive leaf
            np.minimum(node, running[1:].searchsorted(running[-1], "left"), out=node)
        rest -= running.take(node)
        for level in reversed(self._levels[:-1]):
            # torch scans short rows three times as fast as numpy
            rows = torch.from_numpy(level.take(node, 0, mode="clip"))
            prefix = rows.cumsum(1, dtype=torch.float64).numpy()
            # rounding may leave a rest at or above the node's own sum: stay inside of it
            np.minimum(rest, prefix[:, -1] * _BELOW, out=rest)
            child = (prefix > rest[:, None]).argmax(1)
            node = node * _FANOUT + child
            if level is not self._levels[0]:
                rest -= _before(prefix, child)
        found = np.empty_like(node)
        found[order] = node
        return found

    def _changed(self) -> None:
        self._is_current = False

    def _running(self) -> np.ndarray:
        """Return the running sums of the top level, after a zero."""
        if not self._is_current:
            torch.cumsum(self._top, 0, dtype=torch.float64, out=self._sums[1:])
            self._is_current = True
        return self._sums.numpy()


class MinTree(SegmentTree):
    """Minima over ranges.

    Example:
        >>> tree = MinTree(4)
        >>> tree[torch.arange(3)] = torch.tensor([3.0, 1.0, 2.0])
        >>> tree.reduce(), tree.query(2, 4)
        (1.0, 2.0)
    """

    identity_element = float("inf")
    _ufunc = np.minimum
    _over_children = torch.amin

    def reduce(self) -> float:
        """Return the smallest leaf."""
        return float(self._flat[-1].min())


class SumSegmentTreeFp32(SumTree):
    """A `SumTree` of float32, under TorchRL's name.

    Example:
        >>> SumSegmentTreeFp32(8).dtype
        torch.float32
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, torch.float32)


class SumSegmentTreeFp64(SumTree):
    """A `SumTree` of float64, under TorchRL's name.

    Example:
        >>> SumSegmentTreeFp64(8).dtype
        torch.float64
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, torch.float64)


class MinSegmentTreeFp32(MinTree):
    """A `MinTree` of float32, under TorchRL's name.

    Example:
        >>> MinSegmentTreeFp32(8).reduce()
        inf
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, torch.float32)


class MinSegmentTreeFp64(MinTree):
    """A `MinTree` of float64, under TorchRL's name.

    Example:
        >>> MinSegmentTreeFp64(8).reduce()
        inf
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, torch.float64)


def _before(prefix: np.ndarray, child: np.ndarray) -> np.ndarray:
    """Return the sum of the children before `child`, in each row of running sums."""
    first = np.arange(0, prefix.size, prefix.shape[1])
    sums = prefix.reshape(-1).take(first + child - 1, mode="clip")
    return np.where(child > 0, sums, 0.0)
