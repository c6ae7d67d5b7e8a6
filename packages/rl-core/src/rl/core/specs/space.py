"""Spaces: the values a spec allows, without its shape or dtype."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BinaryBox", "Box", "BoxList", "CategoricalBox", "ContinuousBox"]


class Box:
    """Root of the spaces: what a spec's `space` has in common.

    Example:
        >>> isinstance(CategoricalBox(3), Box), CategoricalBox(3).clone().n
        (True, 3)
    """

    def to(self, device: torch.device | str | int) -> Box:
        """Return the space with its tensors on `device`."""
        del device
        return self

    def clone(self) -> Box:
        """Return a space that shares no tensor with this one."""
        return self


@dataclass(eq=False, repr=False)
class ContinuousBox(Box):
    """The interval `[low, high]`, per element; also used by bounded integers.

    Example:
        >>> box = ContinuousBox(torch.zeros(2), torch.ones(2))
        >>> box == ContinuousBox(torch.zeros(2), torch.ones(2))
        True
    """

    low: Tensor
    high: Tensor

    def to(self, device: torch.device | str | int) -> ContinuousBox:
        """Return the interval with its bounds on `device`."""
        return ContinuousBox(self.low.to(device), self.high.to(device))

    def clone(self) -> ContinuousBox:
        """Return an interval with copied bounds."""
        return ContinuousBox(self.low.clone(), self.high.clone())

    def __iter__(self) -> Iterator[Tensor]:
        yield self.low
        yield self.high

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ContinuousBox):
            return NotImplemented
        return all(
            a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
            for a, b in zip(self, other, strict=True)
        )

    __hash__ = None

    def __repr__(self) -> str:
        return f"ContinuousBox(low={_summary(self.low)}, high={_summary(self.high)})"


@dataclass(frozen=True)
class CategoricalBox(Box):
    """The integers `0 .. n-1`; `n = -1` while the number is unknown.

    Example:
        >>> CategoricalBox(4)
        CategoricalBox(n=4)
    """

    n: int


@dataclass(frozen=True)
class BinaryBox(Box):
    """`n` independent bits.

    Example:
        >>> BinaryBox(3).n
        3
    """

    n: int


@dataclass(frozen=True)
class BoxList(Box):
    """One space per variable of a multi-discrete spec.

    Example:
        >>> [box.n for box in BoxList.from_nvec([2, 3])]
        [2, 3]
    """

    boxes: tuple[Box, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", tuple(self.boxes))

    @staticmethod
    def from_nvec(nvec: Tensor | list) -> BoxList:
        """Return the list of `CategoricalBox` of sizes `nvec` (nested as `nvec` is)."""
        sizes = nvec.tolist() if isinstance(nvec, Tensor) else nvec
        return BoxList(
            tuple(BoxList.from_nvec(n) if isinstance(n, list) else CategoricalBox(n) for n in sizes)
        )

    def __iter__(self) -> Iterator[Box]:
        return iter(self.boxes)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> Box:
        return self.boxes[index]


def _summary(tensor: Tensor) -> str:
    """Return the one value a tensor holds everywhere, else its shape."""
    if tensor.device.type != "meta" and tensor.numel():
        first = tensor.flatten()[0]
        if bool((tensor == first).all()):
            return f"{first.item():g}"
    return f"Tensor({list(tensor.shape)})"
