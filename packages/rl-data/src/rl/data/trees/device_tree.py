"""Segment trees on an accelerator: the host waits for nothing to update and to search them.

They are the wide trees of `rl.data.trees.segment_tree` with nodes of 128 children up to one root.
Sums and running sums are made of element-wise additions in an order of their own, and no kernel
of reductions or scans: equal numbers give equal sums, bit for bit, on every device and in batches
of every size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rl.data.trees.segment_tree import MinTree, Numbers, SegmentTree, SumTree

__all__ = [
    "CudaMinSegmentTreeFp32",
    "CudaMinSegmentTreeFp64",
    "CudaSumSegmentTreeFp32",
    "CudaSumSegmentTreeFp64",
    "DeviceMinTree",
    "DeviceSumTree",
]

# largest float64 factor that keeps `x * _BELOW < x` for every positive normal x
_BELOW = 1.0 - 2.0**-52


class OnDevice(SegmentTree):
    """A segment tree whose arrays are tensors of one device."""

    _fanout = 128
    _largest_top = _fanout

    def __init__(
        self,
        size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | int = "cuda",
    ) -> None:
        self.device = torch.empty(0, device=device).device
        super().__init__(size, dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "device": str(self.device)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.device = torch.device(state["device"])
        super().__setstate__(state)

    def array(self, numbers: Numbers, dtype: torch.dtype | None = None) -> Tensor:
        """Return numbers as a tensor on this tree's device; integers stay integers."""
        return torch.as_tensor(numbers, dtype=dtype, device=self.device).detach()

    @staticmethod
    def within(index: Tensor, size: int) -> bool:
        """Tell whether every number of a non-empty tensor is in `[0, size)`; waits."""
        return bool(((index >= 0) & (index < size)).all())

    @staticmethod
    def extremes(values: Tensor) -> tuple[float, float]:
        """Return the smallest and the largest number of a non-empty tensor; waits."""
        least, largest = torch.stack(values.aminmax()).tolist()
        return least, largest

    def at(self, index: Tensor) -> Tensor:
        """Return the leaves at `index`, an int64 tensor."""
        return self._flat[0][index]

    def store(self, position: Tensor, value: float | Tensor) -> None:
        """Do what `update` does for positions that are known to be in range."""
        position = position.reshape(-1)
        if isinstance(value, Tensor) and value.numel() > 1:
            position, value = _last_of_each(position, value.reshape(-1))
        self._flat[0][position] = value.to(self.dtype) if isinstance(value, Tensor) else value
        for below, above in zip(self._levels, self._flat[1:], strict=False):
            position = position // self._fanout
            if len(position) > len(below):  # each node once
                position = torch.arange(len(below), device=self.device)
            above[position] = self._reduce(below[position]).to(above.dtype)
        self._changed()

    def _full(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.full(shape, self.identity_element, dtype=dtype, device=self.device)


class DeviceSumTree(OnDevice, SumTree):
    """A `SumTree` whose leaves are on a device, as are the indices that it takes and returns.

    Args:
        size: number of leaves.
        dtype: `torch.float32` or `torch.float64`.
        device: of the leaves.

    Example:
        >>> tree = DeviceSumTree(4, device="cpu")
        >>> tree[torch.arange(4)] = torch.tensor([1.0, 0.0, 2.0, 3.0])
        >>> tree.scan_lower_bound(torch.tensor([0.5, 1.0, 5.9]))
        tensor([0, 2, 3])
    """

    def reduce(self) -> float:
        """Return the sum of all leaves; waits for the device."""
        return float(self._sum())

    def search(self, value: Tensor) -> Tensor:
        """Return `scan_lower_bound` of a one-dimensional float64 tensor."""
        rest, node = value, torch.zeros_like(value, dtype=torch.int64)
        for level in reversed(self._levels):
            rows = level[node].double()
            running = _running_sums(rows)
            # their order of addition need not make them rise: a leaf of zero is never the answer
            reached = running.masked_fill(rows <= 0, -torch.inf)
            rest = torch.minimum(rest, reached.amax(1) * _BELOW)
            child = (reached > rest[:, None]).byte().argmax(1, keepdim=True)
            before = running.gather(1, (child - 1).clamp_min(0)).masked_fill(child == 0, 0.0)
            rest = rest - before.squeeze(1)
            node = node * self._fanout + child.squeeze(1)
        return node

    def draw(self, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return the leaves in which running sums reach shares of the sum of all.

        Args:
            share: [n] float64, each in `[0, 1)`; it may be on the CPU.

        Returns:
            Their indices, [n] int64, and their values, [n].
        """
        found = self.search(self.array(share) * self._sum())
        return found, self.at(found)

    def least_leaf(self) -> LeastOnDevice:
        """Return what finds the smallest positive leaf."""
        return LeastOnDevice(self._flat[0])

    def _allocate(self, size: int, dtype: torch.dtype) -> None:
        SegmentTree._allocate(self, size, dtype)

    def _changed(self) -> None:
        """Nothing is derived from the levels."""

    def _sum(self) -> Tensor:
        return _sums(self._levels[-1]).squeeze(0)

    def _reduce(self, blocks: Tensor) -> Tensor:
        return _sums(blocks)

    def _total(self, part: Tensor) -> float:
        return float(part.sum(dtype=torch.float64))


class DeviceMinTree(OnDevice, MinTree):
    """A `MinTree` whose leaves are on a device, as are the indices that it takes.

    Args:
        size: number of leaves.
        dtype: `torch.float32` or `torch.float64`.
        device: of the leaves.

    Example:
        >>> tree = DeviceMinTree(4, device="cpu")
        >>> tree[torch.arange(3)] = torch.tensor([3.0, 1.0, 2.0])
        >>> tree.reduce(), tree.query(2, 4)
        (1.0, 2.0)
    """

    def _reduce(self, blocks: Tensor) -> Tensor:
        return blocks.amin(1)

    def _total(self, part: Tensor) -> float:
        return float(part.min()) if len(part) else self.identity_element


class LeastOnDevice:
    """The smallest positive number of a tensor, read when it is asked for.

    Example:
        >>> LeastOnDevice(torch.tensor([0.0, 3.0, 2.0])).value()
        tensor(2.)
    """

    def __init__(self, numbers: Tensor) -> None:
        self._numbers = numbers

    def value(self) -> Tensor:
        """Return the smallest positive number, a tensor without dimensions."""
        return self._numbers.masked_fill(self._numbers <= 0, torch.inf).min()

    def changed(self, before: Tensor, places: Tensor, least: float) -> None:
        """Take notice of a change, as `LeastLeaf.changed`."""

    def forget(self) -> None:
        """Take notice that any number may have changed."""


class CudaSumSegmentTreeFp32(DeviceSumTree):
    """A `DeviceSumTree` of float32 on a CUDA device, under TorchRL's name.

    Example:
        >>> if torch.cuda.is_available():
        ...     assert CudaSumSegmentTreeFp32(8).device.type == "cuda"
    """

    def __init__(self, size: int, device: torch.device | str | int = "cuda") -> None:
        super().__init__(size, torch.float32, device)


class CudaSumSegmentTreeFp64(DeviceSumTree):
    """A `DeviceSumTree` of float64 on a CUDA device, under TorchRL's name.

    Example:
        >>> if torch.cuda.is_available():
        ...     assert CudaSumSegmentTreeFp64(8).device.type == "cuda"
    """

    def __init__(self, size: int, device: torch.device | str | int = "cuda") -> None:
        super().__init__(size, torch.float64, device)


class CudaMinSegmentTreeFp32(DeviceMinTree):
    """A `DeviceMinTree` of float32 on a CUDA device, under TorchRL's name.

    Example:
        >>> if torch.cuda.is_available():
        ...     assert CudaMinSegmentTreeFp32(8).device.type == "cuda"
    """

    def __init__(self, size: int, device: torch.device | str | int = "cuda") -> None:
        super().__init__(size, torch.float32, device)


class CudaMinSegmentTreeFp64(DeviceMinTree):
    """A `DeviceMinTree` of float64 on a CUDA device, under TorchRL's name.

    Example:
        >>> if torch.cuda.is_available():
        ...     assert CudaMinSegmentTreeFp64(8).device.type == "cuda"
    """

    def __init__(self, size: int, device: torch.device | str | int = "cuda") -> None:
        super().__init__(size, torch.float64, device)


def _last_of_each(position: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions in order, each with the value that was last given for it.

    Writes to one place from many threads come in any order: let them write the same.
    """
    position, order = position.sort(stable=True)
    last = torch.searchsorted(position, position, right=True) - 1
    return position, value[order[last]]


def _sums(rows: Tensor) -> Tensor:
    """Return the sums of rows whose width is a power of two, `[n]` float64."""
    rows = rows.double()
    while rows.shape[1] > 1:
        half = rows.shape[1] // 2
        rows = rows[:, :half] + rows[:, half:]
    return rows.squeeze(1)


def _running_sums(rows: Tensor) -> Tensor:
    """Return the running sums of rows by doubling (Hillis and Steele, 1986), `[n, width]`."""
    shift = 1
    while shift < rows.shape[1]:
        rows = torch.cat([rows[:, :shift], rows[:, shift:] + rows[:, :-shift]], 1)
        shift *= 2
    return rows
