"""Distributions concentrated on one value, for deterministic policies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from rl.core.distributions.fused import FusedDistribution
from rl.core.distributions.squash import Squash

__all__ = ["Delta", "TanhDelta"]


class Delta(FusedDistribution):
    """All mass on `param`.

    Args:
        param: `[*B, *E]` the value.
        atol: absolute tolerance within which a value counts as `param`.
        rtol: relative tolerance.
        batch_shape: default `param.shape[:-1]`.
        event_shape: default `param.shape[-1:]`.

    Example:
        >>> dist = Delta(torch.ones(2, 3))
        >>> dist.sample().shape, dist.log_prob(torch.zeros(2, 3))
        (torch.Size([2, 3]), tensor([-inf, -inf]))
    """

    has_rsample = True
    parameter_names = ("param",)

    def __init__(
        self,
        param: Tensor,
        atol: float = 1e-6,
        rtol: float = 1e-6,
        batch_shape: torch.Size | None = None,
        event_shape: torch.Size | None = None,
    ) -> None:
        self.param, self.atol, self.rtol = param, atol, rtol
        if batch_shape is None:
            events = 1 if event_shape is None else len(event_shape)
            batch_shape = param.shape[: max(0, param.dim() - events)]
        batch_shape = torch.Size(batch_shape)
        super().__init__(batch_shape, param.shape[len(batch_shape) :])

    @property
    def support(self) -> constraints.Constraint:
        """The real vectors."""
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mode(self) -> Tensor:
        """The value."""
        return self.param

    @property
    def mean(self) -> Tensor:
        """The value."""
        return self.mode

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.param)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return the value without its graph."""
        return self.rsample(sample_shape).detach()

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return the value, expanded to `[*sample_shape, *B, *E]`."""
        value = self.mode
        return value.expand(self._extended(sample_shape)) if sample_shape else value

    def log_prob(self, value: Tensor) -> Tensor:
        """Return inf where `value` equals the parameter within tolerance, else -inf; `[*S, *B]`."""
        target = self.mode
        close = (value - target).abs() <= self.atol + self.rtol * target.abs()
        dims = len(self.event_shape)
        if dims:
            close = close.flatten(-dims).all(-1)
        return torch.where(close, torch.inf, -torch.inf).to(target.dtype)


class TanhDelta(Delta):
    """All mass on `mid + half * tanh(param + mid)`, for deterministic policies over a box.

    Args:
        param: `[*B, *E]` the value before squashing.
        low: lower bounds, a number or a tensor of shape `[*E]`.
        high: upper bounds.
        event_dims: the number of trailing dimensions that make one event.
        atol: absolute tolerance of `log_prob`.
        rtol: relative tolerance of `log_prob`.
        safe: keep values off the bounds by the dtype's resolution.

    The shift of `param` by the middle of an asymmetric interval is TorchRL's: weights trained
    there act alike here.

    Example:
        >>> TanhDelta(torch.zeros(1, 2), low=-2.0, high=2.0).mode
        tensor([[0., 0.]])
    """

    def __init__(
        self,
        param: Tensor,
        low: Tensor | float = -1.0,
        high: Tensor | float = 1.0,
        event_dims: int = 1,
        atol: float = 1e-6,
        rtol: float = 1e-6,
        safe: bool = True,
    ) -> None:
        self.squash = squash = Squash(low, high, safe)
        if not squash.is_unit:
            param = param + Squash._on(param, squash.mid)
        split = max(0, param.dim() - event_dims)
        super().__init__(param, atol=atol, rtol=rtol, batch_shape=param.shape[:split])

    @property
    def support(self) -> constraints.Constraint:
        """The closed box between the bounds."""
        return constraints.independent(
            constraints.interval(self.squash.low, self.squash.high), len(self.event_shape)
        )

    @property
    def mode(self) -> Tensor:
        """The squashed value."""
        return self.squash(self.param)
