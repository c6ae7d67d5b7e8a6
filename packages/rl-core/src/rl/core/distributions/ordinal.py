"""Distributions over finite ordered sets."""

from __future__ import annotations

from torch import Tensor

from rl.core.distributions.categorical import FusedCategorical
from rl.core.distributions.one_hot import OneHotCategorical

__all__ = ["OneHotOrdinal", "Ordinal"]


class Ordinal(FusedCategorical):
    """A distribution over the integers `0 .. N-1` that knows their order.

    Each class k has a score; with s = sigmoid(score), the logit of class i is
    `sum_{k <= i} log s_k + sum_{k > i} log(1 - s_k)`, so that near classes have near
    probabilities (Tang and Agrawal 2020, section 5).

    Args:
        scores: `[*B, N]` real numbers, as a network gives them.

    Example:
        >>> import torch
        >>> Ordinal(torch.tensor([9.0, 9.0, -9.0])).mode
        tensor(1)
    """

    def __init__(self, scores: Tensor) -> None:
        super().__init__(logits=ordinal_logits(scores))


class OneHotOrdinal(OneHotCategorical):
    """The one-hot form of `Ordinal`.

    Args:
        scores: `[*B, N]` real numbers, as a network gives them.

    Example:
        >>> import torch
        >>> OneHotOrdinal(torch.tensor([9.0, 9.0, -9.0])).mode
        tensor([0, 1, 0])
    """

    def __init__(self, scores: Tensor) -> None:
        super().__init__(logits=ordinal_logits(scores))


def ordinal_logits(scores: Tensor) -> Tensor:
    """Return the logits `[*B, N]` of ordered classes with scores `[*B, N]`.

    Example:
        >>> import torch
        >>> ordinal_logits(torch.zeros(3)).softmax(-1)
        tensor([0.3333, 0.3333, 0.3333])
    """
    # with log s - log(1 - s) = score the formula is a constant plus the running sum of scores
    if scores.dtype.itemsize >= 4:
        return scores.cumsum(-1)
    return scores.float().cumsum(-1).log_softmax(-1).to(scores.dtype)
