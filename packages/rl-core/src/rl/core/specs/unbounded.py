"""Unbounded specs: any value of a dtype."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.space import ContinuousBox

__all__ = ["Unbounded", "UnboundedContinuous", "UnboundedDiscrete"]


class Unbounded(TensorSpec):
    """Any value of a dtype; `rand` is a standard normal, or uniform over the integers.

    Args:
        shape: shape of a value, `[1]` by default.
        device: where values are; None means torch's default device.
        dtype: dtype of a value; None means torch's default dtype.
        domain: `"continuous"` or `"discrete"`; by default what the dtype says.

    Example:
        >>> Unbounded((3,)).rand().shape
        torch.Size([3])
        >>> Unbounded(dtype=torch.int64).domain
        'discrete'
    """

    space: ContinuousBox

    def __init__(
        self,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype | None = None,
        domain: str | None = None,
    ) -> None:
        dtype = torch.get_default_dtype() if dtype is None else dtype
        domain = domain or ("continuous" if dtype.is_floating_point else "discrete")
        super().__init__((1,) if shape is None else shape, None, device, dtype, domain)
        self._set_space()

    def _set_space(self) -> None:
        """Describe the limits of the dtype without holding one number per element."""
        low, high = _limits(self.dtype)
        options = {"dtype": self.dtype, "device": self.device}
        self.space = ContinuousBox(
            torch.full((), low, **options).expand(self._draw_shape),
            torch.full((), high, **options).expand(self._draw_shape),
        )

    def rand(self, shape: int | Sequence[int] | None = None) -> Tensor:
        """Draw a standard normal, a fair bit, or an integer over the dtype's whole range.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        full = self._draw_shape if shape is None else self._full_shape(shape)
        dtype = self.dtype
        if dtype.is_floating_point:
            return torch.randn(full, dtype=dtype, device=self.device)
        low, high = _limits(dtype)
        stop = min(int(high) + 1, 2**63 - 1)
        return torch.randint(int(low), stop, full, dtype=dtype, device=self.device)

    def _project(self, val: Tensor) -> Tensor:
        return val.to(self.dtype)

    def cardinality(self) -> int | float:
        """Return infinity, or the number of bit patterns of a discrete value."""
        if self.dtype.is_floating_point:
            return math.inf
        low, high = _limits(self.dtype)
        return (int(high) - int(low) + 1) ** self._draw_shape.numel()

    def clone(self) -> Self:
        """Return a copy that shares nothing mutable with this spec."""
        new = self._copy()
        new._set_space()
        return new

    def _view(self, op: Callable[[Tensor], Tensor]) -> Self:
        new = super()._view(op)
        new._set_space()
        return new

    def _to_device(self, device: torch.device) -> Self:
        new = self._copy()
        new.device = device
        new._set_space()
        return new

    def _to_dtype(self, dtype: torch.dtype) -> Self:
        return Unbounded(self.shape, self.device, dtype)

    def _identity(self) -> tuple:
        return (self.shape, self.dtype, self.device, self.domain)


class UnboundedContinuous(Unbounded):
    """An `Unbounded` with a floating dtype.

    Example:
        >>> UnboundedContinuous((2,)) == Unbounded((2,))
        True
    """

    def __init__(
        self,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype | None = None,
        domain: str | None = None,
    ) -> None:
        super().__init__(shape, device, dtype, domain)
        if not self.dtype.is_floating_point:
            raise SpecError(
                f"`UnboundedContinuous` has a floating dtype, got {self.dtype}: "
                "use `UnboundedDiscrete`."
            )


class UnboundedDiscrete(Unbounded):
    """An `Unbounded` with an integer dtype, int64 by default.

    Example:
        >>> UnboundedDiscrete((2,)).dtype
        torch.int64
    """

    def __init__(
        self,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype | None = None,
        domain: str | None = None,
    ) -> None:
        super().__init__(shape, device, torch.int64 if dtype is None else dtype, domain)
        if self.dtype.is_floating_point:
            raise SpecError(
                f"`UnboundedDiscrete` has an integer dtype, got {self.dtype}: "
                "use `UnboundedContinuous`."
            )


Unbounded._family = Unbounded


def _limits(dtype: torch.dtype) -> tuple[float, float]:
    """Return the smallest and largest value of a dtype; infinities for floats."""
    if dtype.is_floating_point:
        return -math.inf, math.inf
    if dtype == torch.bool:
        return 0, 1
    info = torch.iinfo(dtype)
    return info.min, info.max
