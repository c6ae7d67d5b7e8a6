"""The mathematics of token-level policy losses, as functions of tensors.

Dimensions: B rows (one text each), L tokens. `mask_BL` says which tokens count; what is
masked is zero.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "Aggregation",
    "aggregate_tokens",
    "clipped_token_objective",
    "effective_sample_fraction",
    "k3_kl_token_estimate",
]

Aggregation = Literal["token_mean", "prompt_mean", "none"]


def k3_kl_token_estimate(target_log_prob: Tensor, log_prob: Tensor) -> Tensor:
    """Estimate KL(policy, target) of each token: `exp(d) - d - 1`, d = log target - log policy.

    Unbiased for tokens of the policy and never negative (Schulman, "Approximating KL divergence",
    2020).

    Example:
        >>> k3_kl_token_estimate(torch.tensor([0.0, -1.0]), torch.tensor([0.0, 0.0]))
        tensor([0.0000, 0.3679])
    """
    difference = target_log_prob - log_prob
    return difference.expm1() - difference


def clipped_token_objective(
    log_weight_BL: Tensor, advantage_BL: Tensor, clip_low: Tensor, clip_high: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the clipped surrogate of each token and where clipping holds the gradient back.

    `min(w A, clip(w, 1 - low, 1 + high) A)` with w the ratio of the token's probabilities: GRPO,
    equation 3 (Shao et al., 2024, arXiv:2402.03300); with `low != high` the clip-higher of DAPO,
    section 3.1 (Yu et al., 2025, arXiv:2503.14476).

    Example:
        >>> low = high = torch.tensor(0.2)
        >>> w, a = torch.tensor([0.0, 0.5]), torch.tensor([1.0, 1.0])
        >>> clipped_token_objective(w, a, low, high)
        (tensor([1.0000, 1.2000]), tensor([False,  True]))
    """
    weight = log_weight_BL.exp()
    plain = weight * advantage_BL
    clipped = weight.clamp(1 - clip_low, 1 + clip_high) * advantage_BL
    return torch.minimum(plain, clipped), clipped < plain


def aggregate_tokens(value_BL: Tensor, mask_BL: Tensor, aggregation: Aggregation) -> Tensor:
    """Reduce a value per token.

    `"token_mean"` weighs every token the same (DAPO, section 3.3), `"prompt_mean"` every text the
    same (GRPO, equation 3), `"none"` keeps `[B, L]`. Texts without a token that counts are left
    out.

    Example:
        >>> value = torch.tensor([[1.0, 3.0], [5.0, 9.0]])
        >>> mask = torch.tensor([[True, True], [True, False]])
        >>> [float(aggregate_tokens(value, mask, mode)) for mode in ("token_mean", "prompt_mean")]
        [3.0, 3.5]
    """
    value_BL = value_BL.masked_fill(~mask_BL, 0.0)
    if aggregation == "none":
        return value_BL
    count_B = mask_BL.sum(-1)
    if aggregation == "token_mean":
        return value_BL.sum() / count_B.sum().clamp_min(1)
    mean_B = value_BL.sum(-1) / count_B.clamp_min(1)
    return mean_B.sum() / (count_B > 0).sum().clamp_min(1)


def effective_sample_fraction(log_weight_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Return the effective sample size over the number of tokens, 1 when all ratios are equal.

    `(sum w)^2 / sum w^2 / n`; far below 1 the data are too old for the policy.

    Example:
        >>> effective_sample_fraction(torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool))
        tensor(1.)
    """
    log_weight = log_weight_BL.masked_fill(~mask_BL, -torch.inf).flatten()
    size = (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp()
    return (size / mask_BL.sum().clamp_min(1)).nan_to_num(0.0)
