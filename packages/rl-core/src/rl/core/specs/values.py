"""Values that specs meet: their identity, their equality, their description."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["describe", "equal", "memo_key"]


def memo_key(val: Any) -> Any:  # noqa: ANN401
    """Return a hashable stand-in for a number, array or tensor.

    Raises:
        TypeError: there is none.
    """
    if isinstance(val, Tensor):
        val = val.detach().cpu().numpy()
    if isinstance(val, np.ndarray):
        return (val.shape, val.dtype.str, val.tobytes())
    if isinstance(val, list | tuple):
        return tuple(memo_key(v) for v in val)
    hash(val)
    return (type(val), val)


def equal(left: Any, right: Any) -> bool:  # noqa: ANN401
    """Compare identities, whose items may be tensors."""
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        same = isinstance(left, Tensor) and isinstance(right, Tensor)
        return same and left.device == right.device and torch.equal(left, right)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def describe(value: Any) -> str:  # noqa: ANN401
    """Return `value` in a few words, for an error message."""
    if isinstance(value, Tensor):
        shown = f", value={value.tolist()}" if 0 < value.numel() <= 16 else ""
        return f"Tensor(shape={list(value.shape)}, dtype={value.dtype}{shown})"
    return f"{type(value).__name__}: {value!r}"[:500]
