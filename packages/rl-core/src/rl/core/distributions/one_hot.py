"""Categorical distributions over one-hot vectors."""

from __future__ import annotations

import enum

import torch
from torch import Tensor
from torch.distributions import constraints

from rl.core.distributions.categorical import FusedCategorical, apply_mask, race
from rl.core.errors import ShapeError

__all__ = ["MaskedOneHotCategorical", "OneHotCategorical", "ReparamGradientStrategy"]


class ReparamGradientStrategy(enum.Enum):
    """How `rsample` of a one-hot distribution lets gradients through the hard draw.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> method = ReparamGradientStrategy.RelaxedOneHot
        >>> OneHotCategorical(logits=logits, grad_method=method).rsample().requires_grad
        True
    """

    PassThrough = 1
    """The gradient of the probabilities (straight-through, Bengio et al. 2013, section 4)."""

    RelaxedOneHot = 2
    """The gradient of the relaxed draw at temperature 1 (Gumbel-softmax, Jang et al. 2017,
    section 2.2)."""


class OneHotCategorical(FusedCategorical):
    """A distribution over the N one-hot vectors of length N.

    Args:
        logits: `[*B, N]` unnormalised log-probabilities.
        probs: `[*B, N]` unnormalised probabilities; give one of the two.
        grad_method: how `rsample` is differentiated.

    A draw is int64, as the one-hot actions of a gymnasium env are; `rsample` is floating.

    Example:
        >>> dist = OneHotCategorical(logits=torch.tensor([[0.0, 3.0]]))
        >>> dist.mode, dist.log_prob(dist.mode)
        (tensor([[0, 1]]), tensor([-0.0486]))
    """

    _one_hot = True

    def __init__(
        self,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        grad_method: ReparamGradientStrategy = ReparamGradientStrategy.PassThrough,
    ) -> None:
        self.grad_method = grad_method
        super().__init__(logits=logits, probs=probs)

    @property
    def support(self) -> constraints.Constraint:
        """The one-hot vectors."""
        return constraints.one_hot

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-probability of one-hot actions.

        Args:
            value: `[*S, *B, N]`, of any dtype, with a single non-zero entry in each row.

        Raises:
            ShapeError: when `value` holds class indices instead of one-hot rows.
        """
        logits = self.logits
        if value.shape != logits.shape and (
            value.dim() < logits.dim() or value.shape[-1] != logits.shape[-1]
        ):
            raise ShapeError(
                f"The action has shape {list(value.shape)}, expected [..., {self.num_events}] with "
                f"batch {list(self.batch_shape)}: one-hot rows. For integer actions use "
                f"`FusedCategorical`, or pass `one_hot(action, {self.num_events})`."
            )
        # where, not a product: 0 * -inf would be nan for a masked class
        return torch.where(value == 0, 0.0, logits).sum(-1)

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return one-hot rows `[*S, *B, N]` (floating) that gradients pass through."""
        return self._relaxed(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Return `rsample` and the log-probability of the hard draw."""
        value, index = self._relaxed(sample_shape)
        return value, self._logits_for(sample_shape).gather(-1, index).squeeze(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return every one-hot row, `[N, *B, N]` (or `[N, 1, .., N]` without `expand`)."""
        num, batch = self.num_events, self.batch_shape
        rows = torch.eye(num, dtype=torch.int64, device=self.logits.device)
        rows = rows.view(num, *(1,) * len(batch), num)
        return rows.expand(num, *batch, num) if expand else rows

    def _as_value(self, index: Tensor, logits: Tensor) -> Tensor:
        # vmap has a rule for `scatter`, and none for `scatter_`
        return torch.zeros_like(logits, dtype=torch.int64).scatter(-1, index, 1)

    def _relaxed(self, sample_shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        logits = self._logits_for(sample_shape)
        scores = race(logits)
        index = scores.argmax(-1, keepdim=True)
        if self.grad_method is ReparamGradientStrategy.PassThrough:
            soft = logits.exp()
        else:
            soft = scores.softmax(-1).to(logits.dtype)
        hard = self._as_value(index, logits).to(soft.dtype)
        # the bracket is exactly zero, so that the value stays one-hot
        return hard + (soft - soft.detach()), index


class MaskedOneHotCategorical(OneHotCategorical):
    """A one-hot distribution over the classes that a mask allows.

    Args:
        logits: `[*B, N]` unnormalised log-probabilities.
        probs: `[*B, N]` unnormalised probabilities; give one of the two.
        mask: `[*B, N]` bool, true where a class is legal.
        indices: `[*B, K]` the legal classes, instead of `mask`.
        neg_inf: the logit of an illegal class.
        padding_value: entries of `indices` equal to it are ignored.
        grad_method: how `rsample` is differentiated.

    Raises:
        RLError: when both or neither of `mask` and `indices` are given.

    Example:
        >>> mask = torch.tensor([[True, False]])
        >>> MaskedOneHotCategorical(logits=torch.tensor([[0.0, 9.0]]), mask=mask).sample()
        tensor([[1, 0]])
    """

    def __init__(
        self,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        mask: Tensor | None = None,
        indices: Tensor | None = None,
        neg_inf: float = float("-inf"),
        padding_value: int | None = None,
        grad_method: ReparamGradientStrategy = ReparamGradientStrategy.PassThrough,
    ) -> None:
        logits, probs, self.mask = apply_mask(
            logits, probs, mask, indices, neg_inf=neg_inf, padding_value=padding_value
        )
        super().__init__(logits=logits, probs=probs, grad_method=grad_method)
