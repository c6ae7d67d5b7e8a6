"""Categorical distributions over an index, with an optional mask of legal classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from rl.core.distributions.fused import FusedDistribution
from rl.core.errors import RLError, ShapeError

__all__ = ["FusedCategorical", "MaskedCategorical"]


class FusedCategorical(FusedDistribution):
    """A distribution over the integers `0 .. N-1`.

    A draw is an exponential race: with e_i ~ Exp(1), `argmax_i (log p_i - log e_i)` has
    distribution p (the Gumbel-max trick, Maddison et al. 2014, section 2). The log-softmax is
    computed once, at construction, and serves draw, score and entropy. Classes of probability
    zero are never drawn.

    Args:
        logits: `[*B, N]` unnormalised log-probabilities.
        probs: `[*B, N]` unnormalised probabilities; give one of the two.

    Raises:
        RLError: when both or neither of `logits` and `probs` are given.

    Example:
        >>> dist = FusedCategorical(logits=torch.tensor([0.0, 0.0, -torch.inf]))
        >>> dist.log_prob(torch.tensor(1)).exp()
        tensor(0.5000)
    """

    has_enumerate_support = True
    parameter_names = ("logits",)
    #: whether a draw is a row of N entries, not an index
    _one_hot = False

    def __init__(self, logits: Tensor | None = None, probs: Tensor | None = None) -> None:
        self.logits = log_probs = _log_probs(logits, probs)
        shape = log_probs.shape
        super().__init__(shape[:-1], shape[-1:] if self._one_hot else shape[:0])

    @property
    def probs(self) -> Tensor:
        """Normalised probabilities `[*B, N]`."""
        return self.logits.exp()

    @property
    def num_events(self) -> int:
        """The number N of classes."""
        return self.logits.shape[-1]

    @property
    def param_shape(self) -> torch.Size:
        """The shape of `logits` and `probs`."""
        return self.logits.shape

    @property
    def support(self) -> constraints.Constraint:
        """The integers from 0 to N-1."""
        return constraints.integer_interval(0, self.num_events - 1)

    @property
    def mode(self) -> Tensor:
        """The most probable class, the first one when several tie."""
        return self._as_value(self.logits.argmax(-1, keepdim=True), self.logits)

    @property
    def mean(self) -> Tensor:
        """A class has no mean: raises, because an average of indices is no action."""
        raise RLError(
            f"`{type(self).__name__}` has no mean: averaging classes gives no action. Use "
            "`ExplorationType.DETERMINISTIC` or `MODE` (or read `dist.probs`)."
        )

    @property
    def variance(self) -> Tensor:
        """A class has no variance: raises, as `mean` does."""
        return self.mean

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """Return class indices `[*sample_shape, *B]` (int64)."""
        logits = self._logits_for(sample_shape)
        return self._as_value(race(logits).argmax(-1, keepdim=True), logits)

    def sample_and_log_prob(self, sample_shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Return a draw and its log-probability `[*sample_shape, *B]`."""
        logits = self._logits_for(sample_shape) if sample_shape else self.logits
        index = race(logits).argmax(-1, keepdim=True)
        return self._as_value(index, logits), logits.gather(-1, index).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-probability of class indices.

        Args:
            value: integers, broadcastable with `batch_shape`.

        Raises:
            ShapeError: when `value` does not broadcast with the batch, as one-hot actions do not.
        """
        logits = self.logits
        if value.shape != logits.shape[:-1]:
            shape = self._broadcast(value)
            logits = logits.expand(*shape, logits.shape[-1])
            value = value.expand(shape)
        return logits.gather(-1, value.long().unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """Return the exact entropy `[*B]` in nats; impossible classes add nothing."""
        logits = self.logits
        finite = logits.clamp(min=torch.finfo(logits.dtype).min)
        return -(logits.exp() * finite).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return every class, `[N, *B]` (or `[N, 1, ..]` without `expand`)."""
        batch = self.batch_shape
        classes = torch.arange(self.num_events, device=self.logits.device)
        classes = classes.view(-1, *(1,) * len(batch))
        return classes.expand(-1, *batch) if expand else classes

    def _logits_for(self, sample_shape: tuple[int, ...]) -> Tensor:
        """Return the log-probabilities `[*sample_shape, *B, N]`."""
        return self.logits.expand(*sample_shape, *self.logits.shape)

    def _as_value(self, index: Tensor, logits: Tensor) -> Tensor:
        """Return what a draw looks like.

        Args:
            index: `[..., 1]` the class.
            logits: `[..., N]`.
        """
        del logits
        return index.squeeze(-1)

    def _broadcast(self, value: Tensor) -> torch.Size:
        try:
            return torch.broadcast_shapes(value.shape, self.batch_shape)
        except RuntimeError as error:
            raise ShapeError(
                f"The action has shape {list(value.shape)}, expected {list(self.batch_shape)}: "
                "class indices. For one-hot actions use `OneHotCategorical`, or pass "
                "`action.long().argmax(-1)`."
            ) from error


def race(logits: Tensor) -> Tensor:
    """Return the scores `[..., N]` of an exponential race; the greatest of a row wins.

    Args:
        logits: `[..., N]` log-probabilities.
    """
    # half precision draws exact zeros, whose logarithm would let an impossible class win
    dtype = torch.float32 if logits.dtype.itemsize < 4 else logits.dtype
    return logits - torch.empty_like(logits, dtype=dtype).exponential_().log_()


class MaskedCategorical(FusedCategorical):
    """A categorical distribution over the classes that a mask allows.

    Args:
        logits: `[*B, N]` unnormalised log-probabilities.
        probs: `[*B, N]` unnormalised probabilities; give one of the two.
        mask: `[*B, N]` bool, true where a class is legal. A row without any legal class has
            log-probability nan.
        indices: `[*B, K]` the legal classes, instead of `mask`.
        neg_inf: the logit of an illegal class. A finite value keeps gradients finite when every
            class of a row is illegal, and gives illegal actions a finite log-probability.
        padding_value: entries of `indices` equal to it are ignored, wherever they are.
        use_cross_entropy: taken for scripts of TorchRL, where it chooses between two ways to one
            number; scores are read from logits that are normalised once, in either case.
        padding_side: `"left"` or `"right"`, taken for scripts of TorchRL: padding is known by its
            value.

    Raises:
        RLError: when both or neither of `mask` and `indices` are given; for another padding side.

    Example:
        >>> mask = torch.tensor([True, False, True])
        >>> dist = MaskedCategorical(logits=torch.zeros(3), mask=mask)
        >>> dist.probs
        tensor([0.5000, 0.0000, 0.5000])
    """

    def __init__(
        self,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        indices: Tensor | None = None,
        neg_inf: float = float("-inf"),
        padding_value: int | None = None,
        use_cross_entropy: bool = True,
        padding_side: str = "left",
    ) -> None:
        if padding_side not in ("left", "right"):
            raise RLError(f"`padding_side` is {padding_side!r}, expected 'left' or 'right'.")
        del use_cross_entropy
        logits, probs, self.mask = apply_mask(
            logits, probs, mask, indices, neg_inf=neg_inf, padding_value=padding_value
        )
        super().__init__(logits=logits, probs=probs)


def apply_mask(
    logits: Tensor | None,
    probs: Tensor | None,
    mask: Tensor | None,
    indices: Tensor | None,
    *,
    neg_inf: float,
    padding_value: int | None,
) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """Return logits or probs with the illegal classes out of the race, and the dense mask."""
    if (mask is None) == (indices is None):
        raise RLError(
            f"`mask` and `indices` are {'both missing' if mask is None else 'both given'}: give "
            "the legal classes once, as a bool `mask` [*B, N] or as `indices` [*B, K]."
        )
    if (logits is None) == (probs is None):
        raise _one_of_two(logits)
    param = logits if probs is None else probs
    if indices is not None:
        mask = _mask_of(indices, param, padding_value)
    if probs is not None:
        # from a masked logarithm, so that one `neg_inf` serves both parameterisations
        logits = probs.log()
    return logits.masked_fill(~mask, neg_inf), None, mask


def _mask_of(indices: Tensor, param: Tensor, padding_value: int | None) -> Tensor:
    legal = torch.ones_like(indices, dtype=torch.bool)
    if padding_value is not None:
        legal = indices != padding_value
        indices = indices.masked_fill(~legal, 0)
    # counting, not assigning: padding points at class 0 and must not erase a true entry for it
    counts = torch.zeros(param.shape, dtype=torch.int64, device=param.device)
    return counts.scatter_add_(-1, indices.long(), legal.long()) > 0


def _log_probs(logits: Tensor | None, probs: Tensor | None) -> Tensor:
    if (logits is None) == (probs is None):
        raise _one_of_two(logits)
    if logits is not None:
        return logits.log_softmax(-1)
    return (probs / probs.sum(-1, keepdim=True)).log()


def _one_of_two(logits: Tensor | None) -> RLError:
    found = "neither is given" if logits is None else "both are given"
    return RLError(f"`logits` and `probs`: {found}. Give exactly one of them, shape [*B, N].")
