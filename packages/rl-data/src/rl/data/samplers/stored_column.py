"""One entry of all rows of a storage, for samplers that look at what is stored."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import is_tensor_collection
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.errors import MissingKeyError, SpecError
from rl.data.storages.base import Storage

__all__ = ["stored_column", "stored_numbers"]


def stored_column(storage: Storage, key: NestedKey) -> Any:  # noqa: ANN401
    """Return an entry of all rows: a tensor, or a list where it is not one.

    Raises:
        SpecError: the rows are not TensorDicts.
        MissingKeyError: they have no such entry.
    """
    rows = storage[:]
    if isinstance(rows, list):
        if not all(is_tensor_collection(row) for row in rows):
            raise _no_tensordict(storage, key)
        values = [row.get(key, None) for row in rows]
        if any(value is None for value in values):
            raise _missing(key, rows[0])
        tensors = all(isinstance(value, Tensor) for value in values)
        return torch.stack(values) if tensors else [getattr(v, "data", v) for v in values]
    if not is_tensor_collection(rows):
        raise _no_tensordict(storage, key)
    value = rows.get(key, None)
    if value is None:
        raise _missing(key, rows)
    return value if isinstance(value, Tensor) else value.tolist()


def stored_numbers(storage: Storage, key: NestedKey) -> Tensor:
    """Return an entry of all rows as one number each, `[num_rows]`.

    Raises:
        SpecError: rows have several numbers.
    """
    column = stored_column(storage, key)
    if not isinstance(column, Tensor) or column.numel() != len(column):
        shape = list(column.shape) if isinstance(column, Tensor) else type(column).__name__
        raise SpecError(f"`{key}` is {shape}, expected one number per row.")
    return column.reshape(-1).cpu()


def _no_tensordict(storage: Storage, key: NestedKey) -> SpecError:
    return SpecError(
        f"The sampler reads `{key}` of the rows, but the rows of this {type(storage).__name__} are "
        "not TensorDicts. Write TensorDicts."
    )


def _missing(key: NestedKey, rows: Any) -> MissingKeyError:  # noqa: ANN401
    return MissingKeyError(
        f"`{key}` is missing in the rows, whose keys are "
        f"{sorted(map(str, rows.keys(True, True)))}. Write it, or tell the sampler its key."
    )
