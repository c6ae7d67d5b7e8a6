"""The base of every distribution here: no argument checks, and a draw scored in the same call."""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["FusedDistribution", "rsample_and_log_prob", "sample_and_log_prob"]


class FusedDistribution(Distribution):
    """A distribution that can draw and score in one call.

    Subclasses write `sample` or `rsample`, `log_prob`, and `sample_and_log_prob` (or
    `rsample_and_log_prob`) where one pass is cheaper or more exact than two. Arguments are never
    validated: a distribution is built at every step of a rollout.

    Example:
        >>> class Dice(FusedDistribution):
        ...     def sample(self, sample_shape=()):
        ...         return torch.randint(1, 7, (*sample_shape, *self.batch_shape))
        ...     def log_prob(self, value):
        ...         return torch.full(value.shape, 1 / 6).log()
        >>> value, log_prob = Dice(torch.Size([3]), torch.Size()).sample_and_log_prob()
        >>> log_prob
        tensor([-1.7918, -1.7918, -1.7918])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    parameter_names: ClassVar[tuple[str, ...]] = ()
    """The attributes that have the batch's dimensions first."""

    def __init__(self, batch_shape: torch.Size, event_shape: torch.Size) -> None:
        super().__init__(batch_shape, event_shape, validate_args=False)

    @property
    def deterministic_sample(self) -> Tensor:
        """The value that a deterministic policy takes: the mode."""
        return self.mode

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return a draw of shape `[*sample_shape, *batch_shape, *event_shape]`, without graph."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def sample_and_log_prob(self, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Return a draw without graph and its log-probability, which has one."""
        value = self.sample(sample_shape)
        return value, self.log_prob(value)

    def rsample_and_log_prob(self, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Return a reparameterised draw and its log-probability."""
        value = self.rsample(sample_shape)
        return value, self.log_prob(value)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> Self:  # noqa: ANN401
        """Return this distribution with its batch expanded to `batch_shape`."""
        new, batch_dims = copy(self), len(self.batch_shape)
        for name in self.parameter_names:
            value = getattr(self, name)
            setattr(new, name, value.expand(*batch_shape, *value.shape[batch_dims:]))
        FusedDistribution.__init__(new, torch.Size(batch_shape), self.event_shape)
        return new

    def _in_float32(self) -> Self:
        """Return this distribution with parameters of half precision in float32.

        What is scored with it and cast back is rounded once, at the end.
        """
        new = copy(self)
        for name in self.parameter_names:
            value = getattr(self, name)
            if value.is_floating_point() and value.dtype.itemsize < 4:
                setattr(new, name, value.float())
        return new

    def _extended(self, sample_shape: tuple[int, ...]) -> torch.Size:
        return torch.Size((*sample_shape, *self.batch_shape, *self.event_shape))


def sample_and_log_prob(
    dist: Distribution, sample_shape: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Draw from `dist` and score the draw, in one pass where `dist` knows how.

    Args:
        dist: any torch distribution.
        sample_shape: leading shape of the draw.

    Returns:
        A value `[*sample_shape, *batch_shape, *event_shape]` and its log-probability
        `[*sample_shape, *batch_shape]`.

    Example:
        >>> from rl.core.distributions import FusedCategorical
        >>> value, log_prob = sample_and_log_prob(FusedCategorical(logits=torch.zeros(3, 2)))
        >>> value.shape, log_prob[0].exp().item()
        (torch.Size([3]), 0.5)
    """
    fused = getattr(dist, "sample_and_log_prob", None)
    if fused is not None:
        return fused(sample_shape)
    value = dist.sample(sample_shape)
    return value, dist.log_prob(value)


def rsample_and_log_prob(
    dist: Distribution, sample_shape: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Like `sample_and_log_prob`, with a reparameterised draw.

    Raises:
        NotImplementedError: when `dist` has no `rsample`.

    Example:
        >>> from rl.core.distributions import TanhNormal
        >>> loc = torch.zeros(3, 2, requires_grad=True)
        >>> value, log_prob = rsample_and_log_prob(TanhNormal(loc, torch.ones(3, 2)))
        >>> value.requires_grad, log_prob.shape
        (True, torch.Size([3]))
    """
    fused = getattr(dist, "rsample_and_log_prob", None)
    if fused is not None:
        return fused(sample_shape)
    value = dist.rsample(sample_shape)
    return value, dist.log_prob(value)
