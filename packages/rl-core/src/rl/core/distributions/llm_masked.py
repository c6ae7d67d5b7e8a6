"""A categorical distribution over a vocabulary, for long sequences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from rl.core.distributions.categorical import FusedCategorical, race
from rl.core.distributions.fused import FusedDistribution
from rl.core.distributions.token import chosen_log_prob, row_chunks
from rl.core.errors import ShapeError

__all__ = ["LLMMaskedCategorical"]


class LLMMaskedCategorical(FusedDistribution):
    """A distribution over the tokens of each position of a sequence.

    Scores are float32 for half-precision logits, and are computed a few rows at a time: scoring
    and drawing make nothing of the size of `logits`, but the gradient.

    Args:
        logits: `[*B, T, C]` unnormalised log-probabilities of C tokens.
        mask: `[*B, T]` bool, true at the positions that count; or `[*B, T, C]`, true where a token
            may be drawn.
        ignore_index: a token with this value is not scored: its log-probability is 0.

    A position that does not count has token 0, log-probability 0 and entropy 0.

    Raises:
        ShapeError: `mask` fits neither form.

    Example:
        >>> mask = torch.tensor([[True, True, False]])
        >>> dist = LLMMaskedCategorical(torch.zeros(1, 3, 4), mask)
        >>> dist.log_prob(torch.tensor([[0, -100, 3]]))
        tensor([[-1.3863,  0.0000,  0.0000]])
    """

    parameter_names = ("logits", "mask")

    def __init__(self, logits: Tensor, mask: Tensor, ignore_index: int = -100) -> None:
        if mask.dtype is not torch.bool or mask.shape not in (logits.shape, logits.shape[:-1]):
            raise ShapeError(
                f"`mask` is {mask.dtype} of shape {list(mask.shape)}, expected torch.bool of shape "
                f"{list(logits.shape[:-1])} (positions that count) or {list(logits.shape)} (tokens "
                "that may be drawn)."
            )
        self.logits, self.mask, self.ignore_index = logits, mask, ignore_index
        super().__init__(logits.shape[:-1], torch.Size())

    @property
    def masks_tokens(self) -> bool:
        """Whether the mask is over tokens, not over positions."""
        return self.mask.dim() == self.logits.dim()

    @property
    def num_events(self) -> int:
        """The number C of tokens."""
        return self.logits.shape[-1]

    @property
    def support(self) -> constraints.Constraint:
        """The integers from 0 to C-1."""
        return constraints.integer_interval(0, self.num_events - 1)

    @property
    def probs(self) -> Tensor:
        """Probabilities `[*B, T, C]` of the tokens that may be drawn."""
        return self._categorical().probs

    @property
    def mode(self) -> Tensor:
        """The most probable tokens `[*B, T]`."""
        return self._choose(self.logits, self.mask, noisy=False)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return tokens `[*sample_shape, *B, T]` (int64)."""
        lead = tuple(sample_shape)
        logits = self.logits.expand(*lead, *self.logits.shape)
        return self._choose(logits, self.mask.expand(*lead, *self.mask.shape), noisy=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-probability of tokens `[*S, *B, T]`, at least float32.

        Args:
            value: int64; `ignore_index` is not scored.

        Raises:
            ShapeError: when `value` does not end in the shape `[*B, T]`.
        """
        logits, mask = self.logits, self.mask
        if value.shape != self.batch_shape:
            lead = value.shape[: value.dim() - len(self.batch_shape)]
            if (*lead, *self.batch_shape) != value.shape:
                raise ShapeError(
                    f"The tokens have shape {list(value.shape)}, expected [..., "
                    f"{', '.join(map(str, self.batch_shape))}]: one token for each row of logits."
                )
            logits, mask = logits.expand(*lead, *logits.shape), mask.expand(*lead, *mask.shape)
        counts = value != self.ignore_index
        if not self.masks_tokens:
            counts = counts & mask
        token_mask = mask if self.masks_tokens else None
        score = chosen_log_prob(logits, value.masked_fill(~counts, 0), token_mask)
        return torch.where(counts, score, 0.0)

    def entropy(self) -> Tensor:
        """Return the entropy `[*B, T]` in nats, over the tokens that may be drawn."""
        entropy = self._categorical().entropy()
        return entropy if self.masks_tokens else torch.where(self.mask, entropy, 0.0)

    def _categorical(self) -> FusedCategorical:
        logits = self.logits.float() if self.logits.dtype.itemsize < 4 else self.logits
        if self.masks_tokens:
            logits = logits.masked_fill(~self.mask, -torch.inf)
        return FusedCategorical(logits=logits)

    @torch.no_grad()
    def _choose(self, logits: Tensor, mask: Tensor, noisy: bool) -> Tensor:
        """Return the winner of each row, of a race when `noisy`."""
        rows, shape = logits.reshape(-1, self.num_events), logits.shape[:-1]
        legal = mask.reshape(-1, self.num_events) if self.masks_tokens else None
        chosen = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
        for part in row_chunks(rows):
            scores = race(rows[part]) if noisy else rows[part]
            if legal is not None:
                scores = scores.masked_fill(~legal[part], -torch.inf)
            chosen[part] = scores.argmax(-1)
        chosen = chosen.view(shape)
        return chosen if self.masks_tokens else chosen.masked_fill(~mask, 0)
