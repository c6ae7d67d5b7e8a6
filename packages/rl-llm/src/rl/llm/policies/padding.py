"""Rows of different lengths in one tensor and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

__all__ = ["lengths_until_stop", "pad_rows", "row_mask", "unpad_rows"]


def pad_rows(rows: Sequence[Tensor], value: float, side: str) -> Tensor:
    """Return `[B, L]` with the rows padded by `value` on the `"left"` or the `"right"`.

    Example:
        >>> pad_rows([torch.tensor([1]), torch.tensor([2, 3])], 0, "left")
        tensor([[0, 1],
                [2, 3]])
    """
    return pad_sequence(list(rows), batch_first=True, padding_value=value, padding_side=side)


def row_mask(rows: Sequence[Tensor], side: str) -> Tensor:
    """Return `[B, L]` bool, true where `pad_rows` puts a value of a row.

    Example:
        >>> row_mask([torch.tensor([1]), torch.tensor([2, 3])], "right")
        tensor([[ True, False],
                [ True,  True]])
    """
    return pad_rows([torch.ones_like(row, dtype=torch.bool) for row in rows], False, side)


def unpad_rows(tensor: Tensor, mask: Tensor) -> list[Tensor]:
    """Return the rows of `[B, L]` without the entries whose mask is false.

    Example:
        >>> unpad_rows(torch.tensor([[0, 1]]), torch.tensor([[False, True]]))
        [tensor([1])]
    """
    return [row[keep.bool()] for row, keep in zip(tensor, mask, strict=True)]


def lengths_until_stop(tokens: Tensor, stop: Iterable[int]) -> Tensor:
    """Return the length `[B]` of each row up to and including its first stop token.

    Padding is never compared, so the result is right when the padding token is a stop token too.

    Example:
        >>> lengths_until_stop(torch.tensor([[5, 2, 2, 2], [5, 5, 5, 5]]), [2])
        tensor([2, 4])
    """
    is_stop = torch.isin(tokens, torch.tensor(list(stop), dtype=tokens.dtype, device=tokens.device))
    stops_before = is_stop.long().cumsum(-1) - is_stop.long()
    return (stops_before == 0).sum(-1)
