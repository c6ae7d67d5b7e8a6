"""The map from the real line into an interval that squashed distributions share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["Squash", "log_two_cosh"]

LOG_4 = math.log(4.0)
# 1 - resolution is the largest value whose atanh stays finite and well-conditioned in the dtype
_EDGE = {
    dtype: torch.finfo(dtype).resolution
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


def log_two_cosh(u: Tensor) -> Tensor:
    """Return `log(2 cosh u)`, without overflow: `log(1 - tanh(u)^2) = log 4 - 2 log(2 cosh u)`."""
    return torch.logaddexp(u, -u)


class Squash:
    """`y = mid + half * tanh(u)`, the bijection of the reals onto `(low, high)`.

    Args:
        low: lower bounds, a number or a tensor broadcastable with `u`.
        high: upper bounds.
        safe: keep `tanh(u)` off ±1 by the dtype's resolution, so that every output has an
            inverse.

    Example:
        >>> squash = Squash(-2.0, 2.0, safe=True)
        >>> squash(torch.tensor([0.0, 100.0]))
        tensor([0.0000, 2.0000])
    """

    __slots__ = ("half", "high", "is_tensor", "is_unit", "low", "mid", "safe")

    def __init__(self, low: Tensor | float, high: Tensor | float, safe: bool) -> None:
        self.low, self.high, self.safe = low, high, safe
        self.mid = (low + high) / 2
        self.half = half = (high - low) / 2
        self.is_tensor = isinstance(half, Tensor)
        self.is_unit = not self.is_tensor and half == 1.0 and self.mid == 0.0

    def __call__(self, u: Tensor) -> Tensor:
        """Return the image of `u`."""
        y = torch.tanh(u)
        if self.safe:
            edge = 1.0 - _EDGE[y.dtype]
            y = y.clamp(-edge, edge)
        return y if self.is_unit else self.rescale(y)

    def rescale(self, y: Tensor) -> Tensor:
        """Return `mid + half * y`."""
        half, mid = self._on(y, self.half), self._on(y, self.mid)
        return torch.addcmul(mid, y, half) if self.is_tensor else y * half + mid

    def inverse(self, y: Tensor) -> Tensor:
        """Return the `u` whose image is `y`; finite at the bounds and beyond.

        It is float32 for half-precision values, whose bounds stand for all that rounds to them.
        """
        if not y.is_floating_point():
            y = y.to(torch.get_default_dtype())
        resolution = _EDGE[y.dtype]
        if y.dtype.itemsize < 4:
            resolution, y = torch.finfo(y.dtype).eps / 4, y.float()
        if not self.is_unit:
            y = (y - self._on(y, self.mid)) / self._on(y, self.half)
        edge = 1.0 - resolution
        return torch.atanh(y.clamp(-edge, edge))

    def log_half(self, like: Tensor) -> Tensor | float:
        """Return the logarithm of half the width of the interval."""
        half = self._on(like, self.half)
        return half.log() if self.is_tensor else math.log(half)

    def log_slope(self, u: Tensor) -> Tensor:
        """Return `log dy/du` element by element, exact in saturation too."""
        slope = LOG_4 - 2.0 * log_two_cosh(u)
        return slope if self.is_unit else slope + self.log_half(u)

    @staticmethod
    def _on(like: Tensor, bound: Tensor | float) -> Tensor | float:
        if isinstance(bound, Tensor):
            return bound.to(device=like.device, dtype=like.dtype)
        return bound
