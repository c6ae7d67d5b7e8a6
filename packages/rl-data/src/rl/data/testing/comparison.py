"""What the conformance kits compare."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import is_tensor_collection
from torch import Tensor

from rl.core.errors import RLError

__all__ = ["clone", "equal", "require", "rows_at"]


def clone(data: Any) -> Any:  # noqa: ANN401
    """Copy tensors of any nest."""
    if isinstance(data, Tensor) or is_tensor_collection(data):
        return data.clone()
    if isinstance(data, dict):
        return {key: clone(value) for key, value in data.items()}
    return type(data)(map(clone, data)) if type(data) in (tuple, list) else data


def equal(a: Any, b: Any) -> bool:  # noqa: ANN401
    """Return whether two nests hold the same."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if is_tensor_collection(a):
        keys = set(a.keys(True, True))
        if not is_tensor_collection(b) or keys != set(b.keys(True, True)):
            return False
        return all(equal(a.get(key), b.get(key)) for key in keys)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def require(held: bool, message: str) -> None:
    """Raise unless a promise held.

    Raises:
        RLError: it did not.
    """
    if not held:
        raise RLError(message)


def rows_at(rows: Any, index: Any) -> Any:  # noqa: ANN401
    """Return the elements of all rows that an index of a sample names."""
    if isinstance(rows, dict):
        return {key: rows_at(value, index) for key, value in rows.items()}
    if type(rows) is tuple:
        return tuple(rows_at(value, index) for value in rows)
    if type(rows) is list:
        return [rows[i] for i in index.tolist()]
    return rows[index]
