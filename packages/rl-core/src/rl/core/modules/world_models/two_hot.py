"""Scalars as distributions over exponentially spaced bins."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules.functional import symexp

__all__ = ["SymExpTwoHot"]

# The bins reach from symexp(-20) to symexp(20).
_RANGE = 20.0


class SymExpTwoHot(nn.Module):
    """A scalar as the mean of a categorical distribution over `symexp(linspace(-20, 20))`.

    Hafner et al. 2023, "Robust predictions": a target is the two bins around it, weighted so that
    their mean is the target; a prediction is the mean over all bins.

    Args:
        num_bins: number of bins.

    Raises:
        RLError: there are fewer than two bins.
        ShapeError: at call, the logits do not end with the bins.

    Example:
        >>> two_hot = SymExpTwoHot(num_bins=5)
        >>> two_hot.encode(torch.tensor([0.0, symexp(torch.tensor(10.0)) / 4]))
        tensor([[0.0000, 0.0000, 1.0000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.7500, 0.2500, 0.0000]])
        >>> two_hot(torch.zeros(3, 5))
        tensor([[0.],
                [0.],
                [0.]])
    """

    def __init__(self, num_bins: int = 255) -> None:
        super().__init__()
        if num_bins < 2:
            raise RLError(f"`SymExpTwoHot` was given num_bins={num_bins}, expected at least 2.")
        self.num_bins = num_bins
        # mirrored, so that each negative bin is a positive one's exact opposite
        half = symexp(torch.linspace(-_RANGE, _RANGE, num_bins, dtype=torch.float64))
        half = half[-(num_bins // 2) :].float()
        zero = torch.zeros(num_bins % 2)
        self.register_buffer("bins", torch.cat([-half.flip(0), zero, half]))

    def encode(self, target: Tensor) -> Tensor:
        """Return the probabilities `[*B, bins]` of targets `[*B]`; beyond the bins, of the end."""
        target = target.to(self.bins.dtype).contiguous()
        upper = torch.searchsorted(self.bins, target).clamp(1, self.num_bins - 1).unsqueeze(-1)
        low, high = self.bins[upper - 1], self.bins[upper]
        weight = ((target.unsqueeze(-1) - low) / (high - low)).clamp(0.0, 1.0)
        zeros = torch.zeros(*target.shape, self.num_bins, dtype=weight.dtype, device=weight.device)
        return zeros.scatter(-1, upper, weight).scatter(-1, upper - 1, 1 - weight)

    def decode(self, logits: Tensor) -> Tensor:
        """Return the scalars `[*B]` of logits `[*B, bins]`; equal logits give exactly 0.

        The two bins of each magnitude are taken together: the largest, 5e8, would drown the small
        ones in rounding otherwise.
        """
        self._check(logits)
        half = self.num_bins // 2
        probs = logits.softmax(-1)
        surplus = probs[..., -half:] - probs[..., :half].flip(-1)
        return (surplus * self.bins[-half:].to(probs.dtype)).sum(-1)

    def forward(self, logits: Tensor) -> Tensor:
        """Return the scalars `[*B, 1]` of logits `[*B, bins]`."""
        return self.decode(logits).unsqueeze(-1)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy `[*B]` of logits `[*B, bins]` against targets `[*B]`.

        Args:
            logits: `[*B, bins]`.
            target: `[*B]`, or `[*B, 1]` as rewards and values are.

        Raises:
            ShapeError: the shapes differ.
        """
        self._check(logits)
        if target.shape == (*logits.shape[:-1], 1):
            target = target.squeeze(-1)
        if target.shape != logits.shape[:-1]:
            raise ShapeError(
                f"The targets have shape {list(target.shape)}, expected {list(logits.shape[:-1])}: "
                "one target for each row of logits."
            )
        return -(self.encode(target) * logits.log_softmax(-1)).sum(-1)

    def _check(self, logits: Tensor) -> None:
        if logits.shape[-1:] != (self.num_bins,):
            raise ShapeError(
                f"The logits have shape {list(logits.shape)}, `SymExpTwoHot` expects "
                f"[*B, {self.num_bins}]: give the network `out_features={self.num_bins}`."
            )
