"""Overwriting entries of stored rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tensordict import NestedKey, TensorDictBase, is_tensor_collection
from torch import Tensor

from rl.core.errors import MissingKeyError, ShapeError, SpecError, nearest
from rl.data.storages.base import Storage
from rl.data.storages.tensor_storage import TensorStorage

__all__ = ["overwrite"]


def overwrite(
    storage: Storage,
    patch: Mapping[NestedKey, Tensor],
    index: Any = slice(None),  # noqa: ANN401 (what a tensor takes)
) -> None:
    """Overwrite entries of the rows at `index`; all are checked before one is written.

    Raises:
        SpecError: the rows are not stored as one TensorDict, or a value would lose precision.
        MissingKeyError: there is no such entry.
        ShapeError: a value does not fit the entry, which it may be broadcast to.
    """
    rows = storage[:]
    if not is_tensor_collection(rows):
        raise SpecError(
            f"Entries of rows in {storage!r} cannot be overwritten. Use a tensor storage, or write "
            "whole rows, `buffer[i] = row`."
        )
    checked = {key: _fitting(rows, key, value, index) for key, value in patch.items()}
    in_place = isinstance(storage, TensorStorage)  # others return copies
    for key, value in checked.items():
        column = rows.get(key) if in_place else rows.get(key).clone()
        column[index] = value
        if not in_place:
            rows.set(key, column)
    if not in_place:
        storage[:] = rows


def _fitting(rows: TensorDictBase, key: NestedKey, value: Tensor, index: Any) -> Tensor:  # noqa: ANN401
    column = rows.get(key, None)
    if column is None:
        names = sorted(map(str, rows.keys(True, True)))
        raise MissingKeyError(f"`{key}` is not in the storage. {nearest(str(key), names)}")
    value, target = torch.as_tensor(value), column[index]
    if not torch.can_cast(value.dtype, column.dtype):
        raise SpecError(
            f"`{key}` has dtype {column.dtype} and was given {value.dtype}, which it cannot hold: "
            f"convert it with `.to({column.dtype})`."
        )
    try:
        return value.to(column).expand(target.shape)
    except RuntimeError as error:
        raise ShapeError(
            f"`{key}` was given shape {list(value.shape)}, expected {list(target.shape)}."
        ) from error
