"""`TokenDistribution`: the distribution of each token of a text given the tokens before it.

Dimensions: B rows, L tokens, V vocabulary.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn.functional import pad

from rl.core.errors import ShapeError

__all__ = ["TokenDistribution", "predicted_positions", "token_entropy", "token_log_prob"]


def token_log_prob(logits_BLV: Tensor, token_BL: Tensor) -> Tensor:
    """Return the log-prob of each token under its own logits, in float32 at least.

    Example:
        >>> token_log_prob(torch.zeros(1, 1, 4), torch.tensor([[2]])).exp()
        tensor([[0.2500]])
    """
    logits_BLV = _at_least_float32(logits_BLV)
    chosen = logits_BLV.gather(-1, token_BL.unsqueeze(-1)).squeeze(-1)
    return chosen - logits_BLV.logsumexp(-1)


def token_entropy(logits_BLV: Tensor) -> Tensor:
    """Return the entropy of each row of logits, in nats.

    Example:
        >>> token_entropy(torch.zeros(1, 4)).exp()
        tensor([4.])
    """
    log_p = _at_least_float32(logits_BLV).log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def _at_least_float32(logits: Tensor) -> Tensor:
    # half precision has too few bits for differences of log-probs
    return logits if logits.dtype == torch.float64 else logits.float()


class TokenDistribution:
    """Next-token distributions over a whole text, with the positions that count.

    At first every token counts that a real token precedes; `with_mask` narrows that.

    Args:
        next_logits: `[B, L, V]`; row t predicts token t + 1, as causal models return them.
        attention_mask: `[B, L]` bool, the real tokens.
        temperature: what the logits are divided by.

    Attributes:
        mask: `[B, L]` bool, positions that count; elsewhere log-probs and entropies are zero.

    Raises:
        ShapeError: logits and mask do not align.

    Example:
        >>> dist = TokenDistribution(torch.zeros(1, 3, 4), torch.tensor([[True, True, False]]))
        >>> dist.log_prob(torch.tensor([[1, 2, 3]])).exp()
        tensor([[1.0000, 0.2500, 1.0000]])
    """

    def __init__(
        self, next_logits: Tensor, attention_mask: Tensor, *, temperature: float = 1.0
    ) -> None:
        if attention_mask.shape != next_logits.shape[:-1]:
            raise ShapeError(
                f"`attention_mask` has shape {list(attention_mask.shape)}, expected "
                f"{list(next_logits.shape[:-1])}: one entry per token of the text."
            )
        self.mask = predicted_positions(attention_mask)
        self._logits = next_logits[:, :-1]
        if temperature != 1.0:
            self._logits = _at_least_float32(self._logits) / temperature

    @property
    def logits(self) -> Tensor:
        """`[B, L, V]`, row t predicting token t; the first row is zero: nothing predicts it."""
        return pad(self._logits, (0, 0, 1, 0))

    def log_prob(self, tokens: Tensor) -> Tensor:
        """Return the log-probs of `tokens` `[B, L]`, zero where the mask is false.

        Raises:
            ShapeError: `tokens` and the mask differ in shape.
        """
        if tokens.shape != self.mask.shape:
            raise ShapeError(
                f"`tokens` has shape {list(tokens.shape)}, expected {list(self.mask.shape)}: score "
                "the text that the distribution was made for."
            )
        return self._place(token_log_prob(self._logits, tokens[:, 1:]))

    def entropy(self) -> Tensor:
        """Return the entropies `[B, L]`, zero where the mask is false."""
        return self._place(token_entropy(self._logits))

    def with_mask(self, mask: Tensor) -> TokenDistribution:
        """Return the same distributions with only those of their positions in `mask` counting."""
        other = copy.copy(self)
        other.mask = self.mask & mask.to(self.mask.device, torch.bool)
        return other

    def _place(self, value: Tensor) -> Tensor:
        return pad(value, (1, 0)).masked_fill(~self.mask, 0.0)


def predicted_positions(attention_mask: Tensor) -> Tensor:
    """Return the real tokens that a real token precedes: the others have no log-prob.

    Example:
        >>> predicted_positions(torch.tensor([[False, True, True, False]]))
        tensor([[False, False,  True, False]])
    """
    real = attention_mask.bool()
    return real & pad(real[..., :-1], (1, 0), value=False)
