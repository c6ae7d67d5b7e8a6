"""Log-probabilities of chosen classes among very many, in float32 and in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["chosen_log_prob", "row_chunks"]

# what is held in float32 at once: 16 MiB
_CHUNK_ELEMENTS = 4 * 1024**2


def chosen_log_prob(logits: Tensor, index: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the log-softmax of `logits` at `index`, in float32 or better.

    Rows are scored a few at a time, forward and backward: nothing of the size of `logits` is made
    but its gradient.

    Args:
        logits: `[*B, C]` unnormalised log-probabilities, of any floating dtype.
        index: `[*B]` int64 in `[0, C)`.
        mask: `[*B, C]` bool, true where a class is legal; an illegal one has log-probability -inf.

    Returns:
        `[*B]`, float32, or float64 for such logits.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.bfloat16)
        >>> chosen_log_prob(logits, torch.tensor([0]), torch.tensor([[True, True, False]]))
        tensor([-0.6931])
    """
    classes = logits.shape[-1]
    rows = None if mask is None else mask.reshape(-1, classes)
    scores = _ChosenLogProb.apply(logits.reshape(-1, classes), index.reshape(-1), rows)
    return scores.view(index.shape)


class _ChosenLogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, mask: Tensor | None) -> Tensor:  # noqa: ANN401
        dtype = _at_least_float32(logits.dtype)
        log_sum = torch.empty(len(logits), dtype=dtype, device=logits.device)
        score = torch.empty_like(log_sum)
        for rows in row_chunks(logits):
            wide = _masked(logits[rows].to(dtype), mask, rows)
            # a row without a legal class scores -inf, and not nan, which would spread backwards
            log_sum[rows] = wide.logsumexp(-1).clamp(min=torch.finfo(dtype).min)
            chosen = wide.gather(-1, index[rows].unsqueeze(-1)).squeeze(-1)
            score[rows] = chosen - log_sum[rows]
        ctx.save_for_backward(logits, index, mask, log_sum)
        return score

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        logits, index, mask, log_sum = ctx.saved_tensors
        result = torch.empty_like(logits)
        for rows in row_chunks(logits):
            wide = _masked(logits[rows].to(log_sum.dtype), mask, rows)
            # d (x_chosen - log sum exp x) / dx = onehot - softmax
            slope = (wide - log_sum[rows].unsqueeze(-1)).exp_().neg_()
            where = index[rows].unsqueeze(-1)
            slope.scatter_add_(-1, where, torch.ones_like(where, dtype=slope.dtype))
            if mask is not None:
                slope.masked_fill_(~mask[rows], 0.0)
            result[rows] = slope.mul_(grad[rows].unsqueeze(-1)).to(result.dtype)
        return result, None, None


def row_chunks(logits: Tensor) -> Iterator[slice]:
    """Yield slices of the rows of `logits` `[N, C]`, each of some megabytes.

    Example:
        >>> [part.start for part in row_chunks(torch.zeros(3, 2))]
        [0]
    """
    size = max(1, _CHUNK_ELEMENTS // max(1, logits.shape[-1]))
    for start in range(0, len(logits), size):
        yield slice(start, start + size)


def _masked(wide: Tensor, mask: Tensor | None, rows: slice) -> Tensor:
    return wide if mask is None else wide.masked_fill(~mask[rows], -torch.inf)


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype.itemsize < 4 else dtype
