"""A Python list of anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import is_tensor_collection
from torch import Tensor

from rl.core.errors import ShapeError
from rl.data.storages.base import Checkpointer, Storage

__all__ = ["ListStorage", "stack_items"]


def stack_items(items: list[Any]) -> Any:  # noqa: ANN401
    """Stack a list of alike items: the default `collate_fn` over a `ListStorage`.

    Tensors and TensorDicts are stacked, numbers become a tensor, dicts and tuples are stacked part
    by part; items of other or of mixed kinds stay a list.

    Example:
        >>> stack_items([{"x": 1}, {"x": 2}])
        {'x': tensor([1, 2])}
    """
    if not items:
        return items
    first = items[0]
    if any(type(item) is not type(first) for item in items):
        return items
    if isinstance(first, Tensor) or is_tensor_collection(first):
        return torch.stack(items)
    if isinstance(first, np.ndarray):
        return torch.from_numpy(np.stack(items))
    if isinstance(first, bool | int | float):
        return torch.tensor(items)
    if isinstance(first, Mapping) and all(item.keys() == first.keys() for item in items):
        return {key: stack_items([item[key] for item in items]) for key in first}
    if type(first) in (tuple, list) and all(len(item) == len(first) for item in items):
        return type(first)(stack_items(list(parts)) for parts in zip(*items, strict=True))
    return items


class ListStorage(Storage):
    """Keeps each item as it is given; items need nothing in common.

    Args:
        max_size: capacity, 1000 by default.
        device: if given, tensors and TensorDicts are moved there on writing.
        checkpointer: how the items are saved, as JSON and safetensors by default.

    Example:
        >>> storage = ListStorage(3)
        >>> storage.set(range(2), ["a", {"b": 1}])
        >>> len(storage), storage.get(1)
        (2, {'b': 1})
    """

    default_collate = staticmethod(stack_items)

    def __init__(
        self,
        max_size: int = 1000,
        *,
        device: str | torch.device | None = None,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        super().__init__(max_size, checkpointer)
        self.device = None if device is None else torch.device(device)
        self._items: list[Any] = []

    def set(self, cursor: int | range | slice | Tensor, data: Any) -> None:  # noqa: ANN401
        """Write one item (int cursor) or as many as the cursor has entries.

        Raises:
            IndexError: a cursor would leave a gap or exceeds the capacity.
            ShapeError: cursor and data differ in length.
        """
        if isinstance(cursor, slice):
            cursor = range(len(self._items))[cursor]
        if isinstance(cursor, int):
            positions, items = [cursor + len(self._items) if cursor < 0 else cursor], [data]
        else:
            positions = _positions(cursor, len(self._items))
            items = list(data.unbind(0)) if hasattr(data, "unbind") else list(data)
        if len(positions) != len(items):
            raise ShapeError(
                f"The index names {len(positions)} rows, the data has {len(items)}: give one item "
                "for each."
            )
        end = len(self._items)
        for position in positions:
            if not 0 <= position <= end or position >= self.max_size:
                raise IndexError(
                    f"Row {position} is out of range: the storage holds {len(self._items)} of "
                    f"{self.max_size} rows."
                )
            end = max(end, position + 1)
        # all are prepared before one is written: preparing may raise
        put = [self._put(item) for item in items]
        for position, item in zip(positions, put, strict=True):
            self._items[position : position + 1] = [item]
        self._rows = len(self._items)

    def _put(self, item: Any) -> Any:  # noqa: ANN401
        if self.device is not None and (isinstance(item, Tensor) or is_tensor_collection(item)):
            return item.to(self.device)
        return item

    def _take(self, item: Any) -> Any:  # noqa: ANN401
        return item

    def get(self, index: Any) -> Any:  # noqa: ANN401
        """Return one item (int) or a list of items."""
        if isinstance(index, int):
            return self._take(self._items[index])
        if isinstance(index, slice):
            return [self._take(item) for item in self._items[index]]
        if isinstance(index, Tensor) and index.ndim == 0:
            return self._take(self._items[int(index)])
        return [self._take(self._items[i]) for i in _positions(index, len(self._items))]

    def rows_of(self, data: Any) -> int:  # noqa: ANN401
        """Return the number of items in `data`."""
        if (isinstance(data, Tensor) or is_tensor_collection(data)) and not data.shape:
            raise ShapeError("`extend` needs a batch of rows, got one without a batch: use `add`.")
        if isinstance(data, dict):
            raise TypeError(
                "A dict is one item of a list storage: write it with `add`, or several in a list. "
                "Columns, `{name: values}`, need a `LazyTensorStorage`."
            )
        if not hasattr(data, "__len__"):
            raise ShapeError(
                f"`extend` needs a sequence of items, got a {type(data).__qualname__}: use `add`, "
                "or pass a list."
            )
        return len(data)

    def empty(self) -> None:
        """Forget every item."""
        self._items = []
        self._rows = 0

    def _family(self) -> str:
        return "list"

    def describe(self) -> dict[str, Any]:
        """Return the items and the capacity."""
        return {"storage": "list", "max_size": self.max_size, "items": list(self._items)}

    def write_rows(self, folder: Path) -> None:
        """Write nothing: the items are part of the description."""

    def check_description(self, described: dict[str, Any]) -> None:
        """Raise unless the saved storage is a list of the same capacity."""
        self._check_capacity(described)

    def read_rows(self, folder: Path, described: dict[str, Any]) -> None:
        """Replace the items."""
        self._items = [self._put(item) for item in described["items"]]
        self._rows = len(self._items)

    def state_dict(self) -> dict[str, Any]:
        """Return the items themselves."""
        return self.describe()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the items.

        Raises:
            SpecError: the state is of another kind of storage or capacity.
        """
        self.check_description(state_dict)
        self.read_rows(Path(), state_dict)


def _positions(index: Any, length: int) -> list[int]:  # noqa: ANN401
    if isinstance(index, range):
        return list(index)
    index = torch.as_tensor(index)
    if index.dtype is torch.bool:
        index = index.nonzero()[:, 0]
    positions = index.reshape(-1).tolist()
    return [i + length if i < 0 else i for i in positions]
