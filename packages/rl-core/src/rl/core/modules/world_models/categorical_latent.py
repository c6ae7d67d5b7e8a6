"""Discrete latent states: several categorical variables, drawn with straight-through gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rl.core.distributions.one_hot import OneHotCategorical
from rl.core.errors import RLError

__all__ = ["check_unimix", "draw_latent", "mix_uniform"]


def check_unimix(name: str, unimix: float) -> float:
    """Return the share of the uniform distribution.

    Raises:
        RLError: it is not in [0, 1).
    """
    if not 0 <= unimix < 1:
        raise RLError(
            f"`{name}` was given unimix={unimix}, expected a share in [0, 1): DreamerV3 has 0.01."
        )
    return unimix


def mix_uniform(logits: Tensor, unimix: float) -> Tensor:
    """Return the log-probabilities of `(1 - unimix) softmax(logits) + unimix / K`.

    Hafner et al. 2023, "World model learning": no class gets a probability of zero. Without a
    share, the logits are returned as they are.
    """
    if not unimix:
        return logits
    floor = logits.new_tensor(math.log(unimix / logits.shape[-1]))
    return torch.logaddexp(logits.log_softmax(-1) + math.log1p(-unimix), floor)


def draw_latent(logits: Tensor, unimix: float = 0.0) -> Tensor:
    """Return one-hot draws of `[*B, N, K]` logits, flat `[*B, N K]`; gradients pass through."""
    return OneHotCategorical(logits=mix_uniform(logits, unimix)).rsample().flatten(-2)
