"""Masks of discrete specs: which of n values are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rl.core.errors import SpecError

__all__ = ["common_mask", "draw_masked", "expand_mask", "nearest_allowed", "stack_masked"]


def expand_mask(mask: Tensor, shape: Sequence[int], device: torch.device) -> Tensor:
    """Return `mask` as bool `[*shape]` on `device`.

    Raises:
        SpecError: it does not broadcast.
    """
    mask = torch.as_tensor(mask, dtype=torch.bool, device=device)
    if tuple(mask.shape) == tuple(shape):
        return mask
    try:
        return mask.expand(shape)
    except RuntimeError:
        raise SpecError(
            f"The mask has shape {list(mask.shape)}, which does not broadcast to {list(shape)}: "
            "its last dimension is one flag per value."
        ) from None


def draw_masked(weights: Tensor, full: torch.Size) -> Tensor:
    """Draw one allowed index per row of `weights`, for every extra batch dimension of `full`.

    Args:
        weights: `[rows, n]` float, 1 where allowed.
        full: shape of the result, whose last dimensions hold `rows` elements.

    Raises:
        SpecError: a row allows nothing.
    """
    rows = weights.shape[0]
    copies = full.numel() // rows if rows else 0
    if not copies:
        return torch.zeros(full, dtype=torch.int64, device=weights.device)
    try:
        index = torch.multinomial(weights, copies, replacement=True)
    except RuntimeError:
        raise SpecError(
            "The mask forbids every value, so nothing can be drawn: allow at least one."
        ) from None
    return index.t().reshape(full)


def nearest_allowed(index: Tensor, mask: Tensor) -> Tensor:
    """Move each index to the nearest allowed one, the lower of two.

    Args:
        index: `[*B]` int64 in `[0, n)`.
        mask: `[..., n]` bool, broadcast against `index`.

    Raises:
        SpecError: a row allows nothing.
    """
    n = mask.shape[-1]
    if not bool(mask.any(-1).all()):
        raise SpecError("The mask forbids every value, so none can be projected on: allow one.")
    distance = (torch.arange(n, device=index.device) - index.unsqueeze(-1)).abs()
    return distance.masked_fill(~mask, n).argmin(-1)


def common_mask(mask: Tensor) -> Tensor:
    """Return the one mask `[n]` that all elements share.

    Raises:
        SpecError: they differ.
    """
    rows = mask.reshape(-1, mask.shape[-1])
    if not bool((rows == rows[:1]).all()):
        raise SpecError(
            "The batch elements have different masks, so they share no list of allowed values: "
            "index the spec first (`spec[0].enumerate(use_mask=True)`)."
        )
    return rows[0]


def stack_masked(specs: Sequence[Any], dim: int) -> Any:  # noqa: ANN401
    """Return the stack of discrete specs that differ in their masks only, else None.

    Args:
        specs: `Categorical` or `OneHot` specs.
        dim: where the new dimension goes, not negative.
    """
    first = specs[0]
    bare = [spec._copy() for spec in specs]
    masks = [spec.mask for spec in specs]
    for spec in bare:
        spec.update_mask(None)
    if any(spec != bare[0] for spec in bare) or all(mask is None for mask in masks):
        return None
    sizes = [-1] * (first.ndim + 1)
    sizes[dim] = len(specs)
    known = next(mask for mask in masks if mask is not None)
    full = [torch.ones_like(known) if mask is None else mask for mask in masks]
    stacked = bare[0].unsqueeze(dim).expand(sizes)
    stacked.update_mask(torch.stack(full, dim))
    return stacked
