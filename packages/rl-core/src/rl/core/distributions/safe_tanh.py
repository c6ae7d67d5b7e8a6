"""The hyperbolic tangent as a transform that can be inverted everywhere."""

from __future__ import annotations

from torch import Tensor
from torch.distributions.transforms import TanhTransform

from rl.core.distributions.squash import Squash

__all__ = ["SafeTanhTransform"]


class SafeTanhTransform(TanhTransform):
    """`y = tanh(x)` whose values keep off ±1, so that every one of them has a finite inverse.

    Example:
        >>> import torch
        >>> transform = SafeTanhTransform()
        >>> transform.inv(transform(torch.tensor(100.0))).isfinite()
        tensor(True)
    """

    def __init__(self, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self._squash = Squash(-1.0, 1.0, safe=True)

    def _call(self, x: Tensor) -> Tensor:
        return self._squash(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._squash.inverse(y).to(y.dtype)
