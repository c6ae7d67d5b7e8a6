"""Kullback-Leibler divergences, registered with `torch.distributions.kl_divergence`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import kl_divergence, register_kl

from rl.core.distributions.categorical import FusedCategorical
from rl.core.distributions.normal import IndependentNormal, event_size
from rl.core.distributions.tanh_normal import TanhNormal

__all__ = ["kl_divergence"]


@register_kl(FusedCategorical, FusedCategorical)
def _categorical(p: FusedCategorical, q: FusedCategorical) -> Tensor:
    """Return `sum p (log p - log q)`; classes that p excludes add nothing, q's exclusion inf."""
    terms = p.logits.exp() * (p.logits - q.logits)
    return torch.where(p.logits == -torch.inf, 0.0, terms).sum(-1)


@register_kl(IndependentNormal, IndependentNormal)
def _normal(p: IndependentNormal, q: IndependentNormal) -> Tensor:
    ratio = (p.scale / q.scale).square()
    shift = ((p.loc - q.loc) / q.scale).square()
    return 0.5 * (p._sum(ratio + shift - ratio.log()) - event_size(p.event_shape))


@register_kl(TanhNormal, TanhNormal)
def _tanh_normal(p: TanhNormal, q: TanhNormal) -> Tensor:
    """Return the divergence of the Gaussians: a bijection shared by both does not change it."""
    return p._sum(kl_divergence(p.root_dist, q.root_dist))
