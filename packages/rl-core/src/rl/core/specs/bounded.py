"""Bounded specs: values between a lower and an upper bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec, as_device
from rl.core.specs.shapes import as_shape
from rl.core.specs.space import ContinuousBox

__all__ = ["Bounded", "BoundedContinuous", "BoundedDiscrete"]

Bound = float | Sequence | np.ndarray | Tensor


class Bounded(TensorSpec):
    """Values in `[low, high]`, element by element; projection is a clamp.

    A floating dtype makes the domain continuous, an integer dtype discrete (both bounds
    included). Elements without a lower, an upper or any bound are drawn from a shifted
    exponential, a mirrored one or a standard normal.

    Args:
        low: lower bound, broadcast to `shape`.
        high: upper bound, broadcast to `shape`.
        shape: shape of a value; by default that of the bounds, which cannot then be numbers.
        device: where values are; None means the bounds' device, or torch's default one.
        dtype: dtype of a value; None means torch's default dtype, whatever the bounds'.
        domain: `"continuous"` or `"discrete"`; by default what the dtype says.

    Raises:
        SpecError: the bounds do not fit the shape or the dtype, or cross.

    Example:
        >>> spec = Bounded(-1, 1, (2,))
        >>> spec.project(torch.tensor([-3.0, 0.5]))
        tensor([-1.0000,  0.5000])
        >>> Bounded(0, 255, (3, 84, 84), dtype=torch.uint8).domain
        'discrete'
    """

    space: ContinuousBox

    def __init__(
        self,
        low: Bound = None,
        high: Bound = None,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype | None = None,
        domain: str | None = None,
    ) -> None:
        if low is None or high is None:
            missing = "low" if low is None else "high"
            raise SpecError(f"`Bounded` needs `{missing}`: Bounded(low=-1, high=1, shape=(6,)).")
        tensors = [bound for bound in (low, high) if isinstance(bound, Tensor)]
        if device is None and tensors:
            device = tensors[0].device
        dtype = torch.get_default_dtype() if dtype is None else dtype
        device = as_device(device)
        low = _bound("low", low, dtype, device)
        high = _bound("high", high, dtype, device)
        size = _bounds_shape(low, high, shape)
        draw = [1 if n == -1 else n for n in size]
        # expanded bounds would share memory between elements: in-place edits must be safe
        box = ContinuousBox(low.expand(draw).clone(), high.expand(draw).clone())
        domain = domain or ("continuous" if dtype.is_floating_point else "discrete")
        super().__init__(size, box, device, dtype, domain)
        if device.type != "meta" and bool((box.low > box.high).any()):
            raise SpecError(
                f"`low` is above `high` in `{type(self).__name__}` of shape {list(size)}: "
                "give low <= high everywhere."
            )
        self._plan()

    def _plan(self) -> None:
        """Choose once how values are drawn."""
        low, high = self.space
        self._scalar, self._open = None, False
        if not low.numel() or low.device.type == "meta":
            self._scalar = (0, 1)
            return
        uniform = bool((low == low.flatten()[0]).all()) and bool((high == high.flatten()[0]).all())
        first, last = low.flatten()[0].item(), high.flatten()[0].item()
        if not self.dtype.is_floating_point:
            # `randint` leaves its upper end out, and int64 has no number beyond its largest
            self._scalar = (int(first), min(int(last) + 1, 2**63 - 1)) if uniform else None
            return
        span = high - low
        self._open = not bool(span.isfinite().all())
        # `uniform_` returns at most low + span, which rounding may put above high
        if uniform and not self._open and bool((low + span <= high).all()):
            self._scalar = (first, last)

    @property
    def low(self) -> Tensor:
        """Lower bounds, of the spec's shape."""
        return self.space.low

    @property
    def high(self) -> Tensor:
        """Upper bounds, of the spec's shape."""
        return self.space.high

    def rand(self, shape: int | Sequence[int] | None = None) -> Tensor:
        """Draw uniformly between the bounds; see the class for missing bounds.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        full = self._draw_shape if shape is None else self._full_shape(shape)
        if not self.dtype.is_floating_point:
            return self._rand_int(full)
        if self._scalar is not None:
            return torch.empty(full, dtype=self.dtype, device=self.device).uniform_(*self._scalar)
        if self._open:
            return self._rand_open(full)
        draw = torch.rand(full, dtype=self.dtype, device=self.device)
        return torch.lerp(self.space.low, self.space.high, draw)

    def _rand_int(self, full: torch.Size) -> Tensor:
        if self._scalar is not None:
            return torch.randint(*self._scalar, full, dtype=self.dtype, device=self.device)
        low, high = self.space
        draw = torch.rand(full, dtype=torch.float64, device=self.device)
        span = high.double() - low.double() + 1
        out = (draw * span).floor_().add_(low.double())
        return torch.minimum(out, high.double()).to(self.dtype)

    def _rand_open(self, full: torch.Size) -> Tensor:
        """Draw where some bound is infinite, or too far from the other for their difference."""
        low, high = self.space
        options = {"dtype": self.dtype, "device": self.device}
        unit = torch.rand(full, **options)
        tail = torch.empty(full, **options).exponential_()
        finite_low, finite_high = low.isfinite(), high.isfinite()
        inside = low.nan_to_num(posinf=0, neginf=0) * (1 - unit)
        inside = inside + high.nan_to_num(posinf=0, neginf=0) * unit
        out = torch.where(finite_low, low + tail, high - tail)
        out = torch.where(finite_low & finite_high, inside, out)
        free = ~finite_low & ~finite_high
        out = torch.where(free, torch.randn(full, **options), out)
        return torch.clamp(out, low, high)

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` has this dtype and shape and lies between the bounds."""
        if not self._matches(val):
            return False
        low, high = self._bounds_on(val.device)
        return bool(((val >= low) & (val <= high)).all())

    def _project(self, val: Tensor) -> Tensor:
        low, high = self._bounds_on(val.device)
        if val.dtype != self.dtype:
            wide = torch.promote_types(val.dtype, self.dtype)
            val = val.to(wide)
            # clamp before the cast: 300 as uint8 would wrap to 44
            return torch.clamp(val, low.to(wide), high.to(wide)).to(self.dtype).clamp(low, high)
        return torch.clamp(val, low, high)

    def _bounds_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        low, high = self.space
        return (low, high) if low.device == device else (low.to(device), high.to(device))

    def cardinality(self) -> int | float:
        """Return the number of integers per element to the power of elements, or infinity."""
        if self.dtype.is_floating_point:
            return math.inf
        sizes = (self.high.double() - self.low.double() + 1).flatten().tolist()
        return math.prod(int(size) for size in sizes)

    def enumerate(self, use_mask: bool = False) -> Tensor:
        """Return every value of a discrete spec, stacked along a new first dimension.

        Raises:
            NotImplementedError: the domain is continuous.
        """
        del use_mask
        if self.dtype.is_floating_point:
            return super().enumerate()
        ranges = [
            torch.arange(low, high + 1, dtype=self.dtype, device=self.device)
            for low, high in zip(
                self.low.flatten().tolist(), self.high.flatten().tolist(), strict=True
            )
        ]
        if not ranges:
            return self.zero((1,))
        grid = torch.cartesian_prod(*ranges)
        return grid.reshape(-1, *self._draw_shape)

    def _view(self, op: Callable[[Tensor], Tensor]) -> Self:
        new = super()._view(op)
        new.space = ContinuousBox(op(self.space.low).clone(), op(self.space.high).clone())
        new._plan()
        return new

    def _stack_dense(self, specs: Sequence[Bounded], dim: int) -> Bounded | None:
        facts = {(spec.shape, spec.dtype, spec.device, spec.domain) for spec in specs}
        if len(facts) > 1:
            return None
        low = torch.stack([spec.low for spec in specs], dim)
        high = torch.stack([spec.high for spec in specs], dim)
        shape = [*self.shape[:dim], len(specs), *self.shape[dim:]]
        return Bounded(low, high, shape, self.device, self.dtype, self.domain)

    def _to_device(self, device: torch.device) -> Self:
        new = super()._to_device(device)
        new._plan()
        return new

    def _to_dtype(self, dtype: torch.dtype) -> Self:
        return Bounded(self.low.to(dtype), self.high.to(dtype), self.shape, self.device, dtype)


class BoundedContinuous(Bounded):
    """A `Bounded` with a floating dtype.

    Example:
        >>> BoundedContinuous(0, 1, (2,)) == Bounded(0, 1, (2,))
        True
    """

    def __init__(
        self,
        low: Bound = None,
        high: Bound = None,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype | None = None,
        domain: str | None = None,
    ) -> None:
        super().__init__(low, high, shape, device, dtype or torch.get_default_dtype(), domain)
        if not self.dtype.is_floating_point:
            raise SpecError(
                f"`BoundedContinuous` has a floating dtype, got {self.dtype}: "
                "use `BoundedDiscrete`."
            )


class BoundedDiscrete(Bounded):
    """A `Bounded` with an integer dtype, int64 by default.

    Example:
        >>> BoundedDiscrete(0, 2, ()).enumerate()
        tensor([0, 1, 2])
    """

    def __init__(
        self,
        low: Bound = None,
        high: Bound = None,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype | None = None,
        domain: str | None = None,
    ) -> None:
        super().__init__(low, high, shape, device, dtype or torch.int64, domain)
        if self.dtype.is_floating_point:
            raise SpecError(
                f"`BoundedDiscrete` has an integer dtype, got {self.dtype}: "
                "use `BoundedContinuous`."
            )


Bounded._family = Bounded


def _bound(name: str, value: Bound, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a bound as a tensor of the spec's dtype."""
    tensor = torch.as_tensor(np.asarray(value) if isinstance(value, list | tuple) else value)
    if tensor.is_floating_point() and tensor.device.type != "meta":
        if bool(tensor.isnan().any()):
            raise SpecError(f"`{name}` holds NaN: give a number, or an infinity for no bound.")
        if not dtype.is_floating_point and not bool(tensor.isfinite().all()):
            raise SpecError(
                f"`{name}` is infinite but the dtype is {dtype}: use `Unbounded`, or the dtype's "
                "own limits (`torch.iinfo`)."
            )
    return tensor.to(device=device, dtype=dtype)


def _bounds_shape(low: Tensor, high: Tensor, shape: int | Sequence[int] | None) -> torch.Size:
    """Return the shape of the spec, given or implied by its bounds."""
    if shape is None:
        size = torch.broadcast_shapes(low.shape, high.shape)
        if not size and low.ndim == high.ndim == 0:
            raise SpecError(
                "`Bounded` got two numbers and no shape: add `shape=()` for a scalar or "
                "`shape=(n,)` for a vector."
            )
        return size
    size = as_shape(shape)
    draw = torch.Size([1 if n == -1 else n for n in size])
    for name, bound in (("low", low), ("high", high)):
        try:
            bound.expand(draw)
        except RuntimeError:
            raise SpecError(
                f"`{name}` has shape {list(bound.shape)}, which does not broadcast to the spec's "
                f"shape {list(size)}: give a number or a tensor of that shape."
            ) from None
    return size
