"""Entropy of a policy, in closed form or from draws, per head of a composite action."""

from __future__ import annotations

from collections.abc import Mapping

from tensordict import NestedKey
from torch import Tensor
from torch.distributions import Distribution, Independent

from rl.core.distributions import TanhNormal, rsample_and_log_prob, sample_and_log_prob
from rl.core.errors import nearest

__all__ = ["entropy_coefficients", "entropy_of", "head_entropies"]


def entropy_of(dist: Distribution, num_samples: int = 1) -> Tensor:
    """Return the entropy `[*B]` in nats, estimated from draws where it has no closed form.

    Args:
        dist: a distribution.
        num_samples: draws of the estimate.

    Example:
        >>> import torch
        >>> from rl.core.distributions import FusedCategorical
        >>> entropy_of(FusedCategorical(logits=torch.zeros(2)))
        tensor(0.6931)
    """
    shape = () if num_samples == 1 else (num_samples,)
    # the exact entropy of a squashed Gaussian is a quadrature, as dear as the whole loss
    if isinstance(dist, TanhNormal):
        entropy = dist.sample_entropy(shape)
        return entropy.mean(0) if shape else entropy
    if _has_closed_form(dist):
        return dist.entropy()
    draw = rsample_and_log_prob if dist.has_rsample else sample_and_log_prob
    log_prob = draw(dist, shape)[1]
    return -log_prob.mean(0) if shape else -log_prob


def head_entropies(
    dist: Distribution, num_samples: int, batch_ndim: int
) -> dict[NestedKey, Tensor]:
    """Return the entropy `[*B]` of each head of a composite distribution."""
    entropies = {}
    for name, head in dist.dists.items():
        entropy = entropy_of(head, num_samples)
        extra = entropy.ndim > batch_ndim
        entropies[name] = entropy.flatten(batch_ndim).sum(-1) if extra else entropy
    return entropies


def entropy_coefficients(
    heads: Mapping[NestedKey, Tensor], coefficients: Mapping[NestedKey, float]
) -> dict[NestedKey, float]:
    """Return one coefficient per head; a head may be named by its key or its group.

    Raises:
        ValueError: when a head has none.
    """
    found = {}
    for head in heads:
        names = (head,) if isinstance(head, str) else (head, head[0], head[-1])
        match = [coefficients[name] for name in names if name in coefficients]
        if not match:
            raise ValueError(
                f"`entropy_coeff` has no entry for the action head `{head}`. "
                + nearest(str(head), [str(key) for key in coefficients])
            )
        found[head] = match[0]
    return found


def _has_closed_form(dist: Distribution) -> bool:
    while isinstance(dist, Independent):
        dist = dist.base_dist
    return type(dist).entropy is not Distribution.entropy
