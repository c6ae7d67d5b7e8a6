"""The entropy of a joint distribution over several named actions."""

from __future__ import annotations

from tensordict import NestedKey, TensorDict, TensorDictBase, unravel_key
from tensordict.nn import CompositeDistribution, composite_lp_aggregate
from torch import Tensor
from torch.distributions import Distribution

from rl.core.distributions.fused import rsample_and_log_prob, sample_and_log_prob

__all__ = ["composite_entropy"]


def composite_entropy(
    distribution: CompositeDistribution, samples_mc: int = 1
) -> Tensor | TensorDictBase:
    """Return the entropy of a joint distribution, from the entropies of its parts.

    A part without an entropy of its own is drawn and scored in one pass, at the value before its
    transforms where it knows it.

    Args:
        distribution: over several named actions.
        samples_mc: the number of draws for parts without an entropy.

    Returns:
        The parts, as `<name>_entropy` in a TensorDict; their sum `[*B]` where
        `set_composite_lp_aggregate(True)` holds.

    Raises:
        ValueError: `samples_mc` is below 1.

    Example:
        >>> import torch
        >>> from tensordict.nn import set_composite_lp_aggregate
        >>> from rl.core.distributions import FusedCategorical, IndependentNormal
        >>> params = TensorDict(
        ...     move={"loc": torch.zeros(3, 2), "scale": torch.ones(3, 2)},
        ...     button={"logits": torch.zeros(3, 4)},
        ...     batch_size=[3],
        ... )
        >>> parts = {"move": IndependentNormal, "button": FusedCategorical}
        >>> with set_composite_lp_aggregate(True):
        ...     composite_entropy(CompositeDistribution(params, distribution_map=parts))
        tensor([4.2242, 4.2242, 4.2242])
    """
    if samples_mc < 1:
        raise ValueError(f"`samples_mc` is {samples_mc}, expected 1 or more.")
    batch_dims = len(distribution.batch_shape)
    parts = {
        _entropy_key(key): _entropy(part, samples_mc) for key, part in distribution.dists.items()
    }
    if not composite_lp_aggregate():
        return TensorDict(parts, batch_size=distribution.batch_shape)
    return sum(_sum_beyond(part, batch_dims) for part in parts.values())


def _entropy(part: Distribution, samples_mc: int) -> Tensor:
    try:
        return part.entropy()
    except NotImplementedError:
        fused = rsample_and_log_prob if part.has_rsample else sample_and_log_prob
        return -fused(part, (samples_mc,))[1].mean(0)


def _entropy_key(key: NestedKey) -> NestedKey:
    parents, name = (key[:-1], key[-1]) if isinstance(key, tuple) else ((), key)
    return unravel_key((*parents, f"{name}_entropy"))


def _sum_beyond(value: Tensor, batch_dims: int) -> Tensor:
    return value.flatten(batch_dims).sum(-1) if value.dim() > batch_dims else value
