"""Indices of batch dimensions: ellipses written out, names carried along."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["dims_used", "indexed_names", "without_ellipsis"]


def without_ellipsis(index: Any, ndim: int) -> tuple:  # noqa: ANN401
    """Return the index with `...` written out over the batch dimensions."""
    index = index if isinstance(index, tuple) else (index,)
    if not any(item is Ellipsis for item in index):
        return index
    used = sum(dims_used(item) for item in index if item is not Ellipsis)
    at = next(i for i, item in enumerate(index) if item is Ellipsis)
    return (*index[:at], *(slice(None),) * (ndim - used), *index[at + 1 :])


def dims_used(item: Any) -> int:  # noqa: ANN401
    """Return how many dimensions of a tensor one item of an index takes."""
    if item is None or isinstance(item, bool):
        return 0
    if isinstance(item, Tensor) and item.dtype == torch.bool:
        return item.ndim
    return 1


def indexed_names(names: list, index: tuple) -> list | None:
    """Return the names behind an index of numbers, slices and None; else none."""
    if any(item is not None and not isinstance(item, int | slice) for item in index):
        return None
    out: list = []
    rest = iter(names)
    for item in index:
        if item is None:
            out.append(None)
            continue
        name = next(rest, None)
        if isinstance(item, slice):
            out.append(name)
    return [*out, *rest]
