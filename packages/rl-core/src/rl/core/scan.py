"""Log-depth scan of first-order linear recurrences, the engine of every multi-step return.

A return is y_t = a_t * y_{t+1} + b_t, and two such steps compose into one of the same form
(Blelloch, 1990, "Prefix sums and their applications", section 1.4.1). Four neighbours are folded
into one, the quarter-length recurrence is solved, and its solution is unfolded: O(T) work in
O(log T) tensor operations, on any device, differentiable and without a graph break.

Legend: T time, R everything else, flattened; a suffix lists a tensor's dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["linear_recurrence"]

_RADIX = 4
# Below this length a plain loop costs less than another folding.
_LOOP = 16


def linear_recurrence(a: Tensor, b: Tensor, *, dim: int = -2, reverse: bool = True) -> Tensor:
    """Solve `y[t] = a[t] * y[t + 1] + b[t]` along `dim`, with `y[T] = 0`.

    Args:
        a: coefficients, of any shape. A zero cuts the recurrence.
        b: increments, same shape.
        dim: dimension of the recurrence, time.
        reverse: whether time runs backwards, as in returns. `False` solves
            `y[t] = a[t] * y[t - 1] + b[t]` with `y[-1] = 0`.

    Returns:
        A contiguous tensor of the shape of `b`.

    Example:
        >>> reward = torch.ones(1, 3, 1)
        >>> linear_recurrence(torch.full_like(reward, 0.5), reward).flatten().tolist()
        [1.75, 1.5, 1.0]
    """
    # Time goes first, so that each operation runs over whole contiguous rows.
    a_first, b_first = a.movedim(dim, 0), b.movedim(dim, 0)
    if b.numel() == 0:
        return b.clone()
    if not reverse:
        a_first, b_first = a_first.flip(0), b_first.flip(0)
    length = b_first.shape[0]
    y_TR = _solve(
        a_first.reshape(length, -1).contiguous(), b_first.reshape(length, -1).contiguous()
    )
    y = y_TR.reshape(b_first.shape)
    if not reverse:
        y = y.flip(0)
    return y.movedim(0, dim).contiguous()


def _solve(a_TR: Tensor, b_TR: Tensor) -> Tensor:
    length = b_TR.shape[0]
    if length <= _LOOP:
        return _loop(a_TR, b_TR)
    padding = -length % _RADIX
    if padding:  # zeros at the end leave every earlier step as it is
        a_TR, b_TR = pad(a_TR, (0, 0, 0, padding)), pad(b_TR, (0, 0, 0, padding))
    a = a_TR.unflatten(0, (-1, _RADIX)).unbind(1)
    b = b_TR.unflatten(0, (-1, _RADIX)).unbind(1)
    # Fold: y[4k] = product * y[4k + 4] + total.
    product, total = a[3], b[3]
    for i in (2, 1, 0):
        total = torch.addcmul(b[i], a[i], total)
        product = a[i] * product
    head = _solve(product, total)
    # Unfold: the heads give y[4k + 4], from which the three others of each group follow.
    y = pad(head[1:], (0, 0, 0, 1))
    rows = [head]
    for i in (3, 2, 1):
        y = torch.addcmul(b[i], a[i], y)
        rows.insert(1, y)
    return torch.stack(rows, 1).flatten(0, 1)[:length]


def _loop(a_TR: Tensor, b_TR: Tensor) -> Tensor:
    y = b_TR[-1]
    rows = [y]
    for a_R, b_R in zip(reversed(a_TR[:-1].unbind(0)), reversed(b_TR[:-1].unbind(0)), strict=True):
        y = torch.addcmul(b_R, a_R, y)
        rows.append(y)
    return torch.stack(rows[::-1])
