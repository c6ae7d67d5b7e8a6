"""Shapes and indices: what a view does to a shape that may hold unknown sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl.core.errors import ShapeError, SpecError

__all__ = ["as_shape", "flat_args", "index_on", "view_shape"]

# A size that no user has, standing for -1 while torch works out the shape of a view.
_DYNAMIC = 1_000_003


def as_shape(shape: int | Sequence[int] | None, default: Sequence[int] = ()) -> torch.Size:
    """Return `shape` as a `torch.Size`; an int is one dimension."""
    if shape is None:
        return torch.Size(default)
    if isinstance(shape, int):
        return torch.Size([shape])
    return torch.Size(shape)


def flat_args(args: tuple) -> tuple:
    """Return `f(1, 2)` and `f((1, 2))` as the same tuple."""
    if len(args) == 1 and not isinstance(args[0], int):
        return tuple(args[0])
    return args


def view_shape(shape: torch.Size, op: Callable[[Tensor], Tensor]) -> torch.Size:
    """Return the shape that the view `op` gives to a tensor of `shape`; -1 sizes are carried."""
    sizes = [_DYNAMIC if size == -1 else size for size in shape]
    try:
        new = op(torch.empty((), device="meta").expand(sizes)).shape
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ShapeError(f"A spec of shape {list(shape)} has no such view: {reason}") from None
    if -1 not in shape:
        return new
    if any(size != _DYNAMIC and size % _DYNAMIC == 0 and size for size in new):
        raise SpecError(
            f"A view of shape {list(shape)} merges or splits a dimension of unknown size (-1): "
            "keep the -1 dimensions as they are."
        )
    return torch.Size([-1 if size == _DYNAMIC else size for size in new])


def index_on(index: Any, device: torch.device) -> Any:  # noqa: ANN401
    """Return `index` in a form that indexes a tensor on `device`, "meta" included."""
    if isinstance(index, list | range):
        return index_on(torch.as_tensor(list(index)), device)
    if isinstance(index, np.ndarray):
        return index_on(torch.from_numpy(index), device)
    if isinstance(index, Tensor):
        # a boolean mask has no known shape on the meta device, its positions have
        if index.dtype == torch.bool and index.ndim:
            return tuple(position.to(device) for position in index.nonzero(as_tuple=True))
        return index.to(device)
    if isinstance(index, tuple):
        out: list = []
        for item in index:
            one = index_on(item, device)
            out.extend(one) if isinstance(one, tuple) else out.append(one)
        return tuple(out)
    return index
