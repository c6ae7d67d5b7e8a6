"""Diagonal Gaussian."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Normal, constraints

from rl.core.distributions.fused import FusedDistribution

__all__ = ["IndependentNormal", "squash_loc"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
HALF_LOG_2PI_E = HALF_LOG_2PI + 0.5


def squash_loc(loc: Tensor, upscale: Tensor | float) -> Tensor:
    """Return `upscale * tanh(loc / upscale)`: the identity near 0, bounded by `upscale`."""
    return torch.tanh(loc / upscale) * upscale


def event_size(event_shape: torch.Size) -> int:
    """Return the number of elements of one event."""
    return event_shape[0] if len(event_shape) == 1 else event_shape.numel()


class IndependentNormal(FusedDistribution):
    """A Gaussian with diagonal covariance.

    Args:
        loc: `[*B, *E]` mean.
        scale: standard deviation, broadcastable with `loc`.
        upscale: bound of the mean when `tanh_loc`.
        tanh_loc: replace `loc` by `upscale * tanh(loc / upscale)`.
        event_dim: the number of trailing dimensions that make one event.

    Example:
        >>> dist = IndependentNormal(torch.zeros(3, 2), torch.ones(3, 2))
        >>> dist.log_prob(torch.zeros(3, 2))[0]
        tensor(-1.8379)
    """

    has_rsample = True
    parameter_names = ("loc", "scale")

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor | float,
        upscale: Tensor | float = 5.0,
        tanh_loc: bool = False,
        event_dim: int = 1,
    ) -> None:
        loc, scale = _match(loc, scale)
        self.loc = squash_loc(loc, upscale) if tanh_loc else loc
        self.scale = scale
        split = loc.dim() - event_dim
        super().__init__(loc.shape[:split], loc.shape[split:])

    @property
    def base_dist(self) -> Normal:
        """The element-wise Gaussian."""
        return Normal(self.loc, self.scale, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The real vectors."""
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        """The mean, `loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mode, `loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of each component."""
        return self.scale.square()

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return `loc + scale * eps`."""
        return torch.addcmul(self.loc, self.scale, self._noise(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density `[*S, *B]`, summed over the event."""
        loc = self.loc
        if loc.dtype.itemsize < 4:
            return self._in_float32().log_prob(value.float()).to(loc.dtype)
        return self._score((value - loc) / self.scale)

    def sample_and_log_prob(self, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Return a draw without graph and its log-density."""
        if torch.is_grad_enabled():
            value = self.sample(sample_shape)
            return value, self.log_prob(value)
        return self.rsample_and_log_prob(sample_shape)

    def rsample_and_log_prob(self, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Return a reparameterised draw and its log-density, from the same noise."""
        noise = self._noise(sample_shape)
        value = torch.addcmul(self.loc, self.scale, noise)
        if noise.dtype.itemsize < 4:
            # the value was rounded, so that it has a noise of its own
            return value, self.log_prob(value)
        return value, self._score(noise)

    def entropy(self) -> Tensor:
        """Return the exact entropy `[*B]` in nats."""
        log_scale = self._sum(self.scale.log())
        return log_scale + event_size(self.event_shape) * HALF_LOG_2PI_E

    def _noise(self, sample_shape: tuple[int, ...]) -> Tensor:
        loc = self.loc
        if not sample_shape:
            return torch.randn_like(loc)
        return torch.randn(self._extended(sample_shape), dtype=loc.dtype, device=loc.device)

    def _sum(self, value: Tensor) -> Tensor:
        dims = len(self.event_shape)
        if dims == 1:
            return value.sum(-1)
        return value.sum(tuple(range(-dims, 0))) if dims else value

    def _score(self, noise: Tensor) -> Tensor:
        """Return the log-density at `loc + scale * noise`."""
        density = torch.addcmul(self.scale.log(), noise, noise, value=0.5)
        return -self._sum(density) - event_size(self.event_shape) * HALF_LOG_2PI


def _match(loc: Tensor, scale: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return location and scale as tensors of one shape."""
    if not isinstance(scale, Tensor):
        scale = torch.full_like(loc, scale)
    if scale.shape != loc.shape:
        loc, scale = torch.broadcast_tensors(loc, scale)
    return loc, scale
