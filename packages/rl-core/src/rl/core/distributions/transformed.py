"""A distribution seen through invertible transforms, drawn and scored in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, Transform, TransformedDistribution

__all__ = ["FasterTransformedDistribution"]


class FasterTransformedDistribution(TransformedDistribution):
    """A `torch.distributions.TransformedDistribution` without argument checks, scored as drawn.

    A draw is scored at the value before the transforms, which is exact where their inverse is not
    (at the bounds of a tanh).

    Args:
        base_distribution: what is drawn first.
        transforms: one or more, from the inside outwards.

    Example:
        >>> from torch.distributions import ExpTransform, Normal
        >>> dist = FasterTransformedDistribution(Normal(torch.zeros(3), 1.0), ExpTransform())
        >>> value, log_prob = dist.rsample_and_log_prob()
        >>> torch.allclose(log_prob, dist.log_prob(value), atol=1e-5)
        True
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
    ) -> None:
        chain = [transforms] if isinstance(transforms, Transform) else list(transforms)
        super().__init__(base_distribution, chain, validate_args=False)

    def sample_and_log_prob(self, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Return a draw without graph and its log-density, which has one."""
        with torch.no_grad():
            before = self.base_dist.sample(torch.Size(sample_shape))
        value, log_prob = self._score(before)
        return value.detach(), log_prob

    def rsample_and_log_prob(self, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Return a reparameterised draw and its log-density."""
        return self._score(self.base_dist.rsample(torch.Size(sample_shape)))

    def _score(self, before: Tensor) -> tuple[Tensor, Tensor]:
        # the dimensions of an event before the transforms, then after each
        dims = inner = len(self.event_shape) + sum(
            transform.domain.event_dim - transform.codomain.event_dim
            for transform in self.transforms
        )
        value, slope = before, torch.zeros((), dtype=before.dtype, device=before.device)
        for transform in self.transforms:
            after = transform(value)
            log_slope = transform.log_abs_det_jacobian(value, after)
            slope = slope + _sum_last(log_slope, dims - transform.domain.event_dim)
            dims += transform.codomain.event_dim - transform.domain.event_dim
            value = after
        score = self.base_dist.log_prob(before)
        return value, _sum_last(score, inner - len(self.base_dist.event_shape)) - slope


def _sum_last(value: Tensor, dims: int) -> Tensor:
    return value.sum(tuple(range(-dims, 0))) if dims > 0 else value
