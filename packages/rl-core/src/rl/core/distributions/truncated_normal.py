"""Gaussian restricted to an interval."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.special import log_ndtr, ndtr, ndtri

from rl.core.distributions.fused import FusedDistribution
from rl.core.distributions.normal import HALF_LOG_2PI, _match, event_size, squash_loc

__all__ = ["TruncatedNormal", "TruncatedStandardNormal"]


class TruncatedNormal(FusedDistribution):
    """`Normal(loc, scale)` conditioned on `[low, high]`, element by element.

    Probabilities are held as logarithms in float64 and the interval is mirrored into the lower
    tail, so that means far outside the interval stay accurate (Robert 1995, section 2).

    Args:
        loc: `[*B, E]` mean before truncation.
        scale: standard deviation before truncation, broadcastable with `loc`.
        upscale: bound of the mean when `tanh_loc`.
        low: lower bounds, a number or a tensor broadcastable with `loc`.
        high: upper bounds.
        tanh_loc: replace `loc` by `upscale * tanh(loc / upscale) + (low + high) / 2`.

    Example:
        >>> dist = TruncatedNormal(torch.zeros(1, 1), torch.ones(1, 1))
        >>> dist.mean, dist.log_prob(torch.full((1, 1), 2.0))
        (tensor([[0.]]), tensor([-inf]))
    """

    has_rsample = True
    parameter_names = ("loc", "scale", "_lower", "_upper", "_mirrored", "_log_mass")
    #: the number of trailing dimensions that make one event
    _event_dims = 1

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor | float,
        upscale: Tensor | float = 5.0,
        low: Tensor | float = -1.0,
        high: Tensor | float = 1.0,
        tanh_loc: bool = False,
    ) -> None:
        loc, scale = _match(loc, scale)
        self.low = torch.as_tensor(low, dtype=loc.dtype, device=loc.device)
        self.high = torch.as_tensor(high, dtype=loc.dtype, device=loc.device)
        if tanh_loc:
            loc = squash_loc(loc, upscale) + (self.low + self.high) / 2
        self.loc, self.scale = loc, scale
        split = loc.dim() - min(self._event_dims, loc.dim())
        super().__init__(loc.shape[:split], loc.shape[split:])
        self._standardise()

    def _standardise(self) -> None:
        """Set the interval in units of scale, mirrored below zero, and its log-probability."""
        loc, scale = self.loc.double(), self.scale.double()
        lower, upper = (self.low.double() - loc) / scale, (self.high.double() - loc) / scale
        self._mirrored = mirrored = lower + upper > 0
        self._lower = torch.where(mirrored, -upper, lower)
        self._upper = torch.where(mirrored, -lower, upper)
        log_upper = log_ndtr(self._upper)
        self._log_mass = log_upper + torch.log1p(-(log_ndtr(self._lower) - log_upper).exp())

    @property
    def support(self) -> constraints.Constraint:
        """The closed box between the bounds."""
        return constraints.independent(
            constraints.interval(self.low, self.high), len(self.event_shape)
        )

    @property
    def mode(self) -> Tensor:
        """`loc` brought into the interval."""
        return self.loc.clamp(self.low, self.high)

    @property
    def deterministic_sample(self) -> Tensor:
        """The value that a deterministic policy takes: the mean."""
        return self.mean

    @property
    def mean(self) -> Tensor:
        """The exact mean, inside the interval."""
        ratio, _ = self._moments()
        shift = torch.where(self._mirrored, -ratio, ratio)
        mean = self.loc + self.scale * shift.to(self.loc.dtype)
        return mean.clamp(self.low, self.high)

    @property
    def variance(self) -> Tensor:
        """The exact variance."""
        ratio, slope = self._moments()
        variance = (1 + slope - ratio.square()).clamp(min=0)
        return self.scale.square() * variance.to(self.loc.dtype)

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return a reparameterised draw by inversion of the distribution function."""
        shape = self._extended(sample_shape)
        uniform = torch.rand(shape, dtype=torch.float64, device=self.loc.device)
        tail = ndtr(self._lower)
        probability = tail + uniform * (ndtr(self._upper) - tail)
        # below -37 deviations the tail underflows: its mass sits at the upper end
        inside = torch.where(
            probability > 0,
            ndtri(probability.clamp(min=torch.finfo(torch.float64).tiny)),
            self._upper,
        )
        inside = torch.maximum(torch.minimum(inside, self._upper), self._lower)
        noise = torch.where(self._mirrored, -inside, inside)
        value = self.loc + self.scale * noise.to(self.loc.dtype)
        return value.clamp(self.low, self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density `[*S, *B]`, summed over the event; -inf outside the interval."""
        if self.loc.dtype.itemsize < 4:
            return self._in_float32().log_prob(value.float()).to(self.loc.dtype)
        noise = (value - self.loc) / self.scale
        density = -0.5 * noise.square() - self.scale.log() - self._log_mass.to(self.loc.dtype)
        inside = (value >= self.low) & (value <= self.high)
        density = torch.where(inside, density, -torch.inf)
        return self._sum(density) - event_size(self.event_shape) * HALF_LOG_2PI

    def entropy(self) -> Tensor:
        """Return the exact differential entropy `[*B]`."""
        _, slope = self._moments()
        entropy = self._log_mass + HALF_LOG_2PI + 0.5 + 0.5 * slope
        return self._sum(entropy.to(self.loc.dtype) + self.scale.log())

    def _sum(self, value: Tensor) -> Tensor:
        return value.sum(-1) if self.event_shape else value

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Return `(phi(a) - phi(b)) / Z` and `(a phi(a) - b phi(b)) / Z` of the interval [a, b]."""
        lower, upper = self._lower, self._upper
        at_lower = (-0.5 * lower.square() - HALF_LOG_2PI - self._log_mass).exp()
        at_upper = (-0.5 * upper.square() - HALF_LOG_2PI - self._log_mass).exp()
        return at_lower - at_upper, lower * at_lower - upper * at_upper


class TruncatedStandardNormal(TruncatedNormal):
    """`Normal(0, 1)` conditioned on `[a, b]`, element by element; each element is an event.

    Args:
        a: lower bounds `[*B]`.
        b: upper bounds, broadcastable with `a`.

    Example:
        >>> dist = TruncatedStandardNormal(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 2.0]))
        >>> dist.batch_shape, dist.mean
        (torch.Size([2]), tensor([0.0000, 0.7228]))
    """

    _event_dims = 0

    def __init__(self, a: Tensor, b: Tensor) -> None:
        a, b = torch.broadcast_tensors(a, b)
        super().__init__(torch.zeros_like(a), torch.ones_like(a), low=a, high=b)
