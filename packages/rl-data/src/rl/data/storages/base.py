"""The storage interface: numbered rows."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from tensordict import NestedKey, is_tensor_collection
from torch import Tensor

from rl.core.errors import SpecError

__all__ = ["Checkpointer", "Storage"]


class Checkpointer(Protocol):
    """What saving asks of a storage checkpointer; see `StorageCheckpointerBase`."""

    format: str

    def write(self, storage: Storage, folder: Path) -> dict[str, Any]:
        """Write the rows to files in `folder`; return all else as plain values."""

    def check(self, storage: Storage, described: dict[str, Any]) -> None:
        """Raise unless `read` can take what `write` returned."""

    def read(self, storage: Storage, folder: Path, described: dict[str, Any]) -> None:
        """Replace the rows with those in `folder`."""


class _Own:
    """Saves a storage by its own methods."""

    format = "rows"

    def write(self, storage: Storage, folder: Path) -> dict[str, Any]:
        storage.write_rows(folder)
        return storage.describe()

    def check(self, storage: Storage, described: dict[str, Any]) -> None:
        storage.check_description(described)

    def read(self, storage: Storage, folder: Path, described: dict[str, Any]) -> None:
        storage.read_rows(folder, described)


class HasNewest(Protocol):
    """What a storage knows of its writer."""

    @property
    def newest(self) -> int | None:
        """The row that was written last."""


class _Link:
    """Refers to a writer, which refers to the storage, without keeping it alive."""

    def __init__(self, writer: HasNewest | None = None) -> None:
        self._writer = None if writer is None else weakref.ref(writer)

    def __call__(self) -> HasNewest | None:
        return None if self._writer is None else self._writer()

    def __reduce__(self) -> tuple[type[_Link], tuple[()]]:
        return _Link, ()  # the buffer introduces the two again when it is unpickled


class Storage(ABC):
    """Rows under the numbers `0 .. len(storage) - 1`.

    A storage knows neither which row is the oldest (the writer does) nor which are drawn (the
    sampler does). Subclasses write `set`, `get`, `empty`, `rows_of` and the four methods of saving.

    Args:
        max_size: capacity in elements.
        checkpointer: how the rows are saved, by the storage's own methods by default.

    Raises:
        ValueError: `max_size` is not positive.

    Example:
        >>> from rl.data import ListStorage, Storage
        >>> storage: Storage = ListStorage(3)
        >>> storage.set(range(2), ["a", "b"])
        >>> len(storage), storage.max_rows, storage[1]
        (2, 3, 'b')
    """

    _writer = _Link()
    # turns what `get` returns into a batch; None where it is one
    default_collate: Callable[[Any], Any] | None = None

    def __init__(self, max_size: int, checkpointer: Checkpointer | None = None) -> None:
        if max_size <= 0:
            raise ValueError(f"`max_size` is {max_size}, expected a positive number of rows.")
        self.max_size = int(max_size)
        self.checkpointer: Checkpointer = _Own() if checkpointer is None else checkpointer
        self.ndim = 1
        self._rows = 0

    # ---------------------------------------------------------------- rows

    @abstractmethod
    def set(self, cursor: int | range | Tensor, data: Any) -> None:  # noqa: ANN401
        """Write one row (int) or a batch of rows; rows beyond the end extend the storage.

        A batch is checked whole before anything is written.
        """

    @abstractmethod
    def get(self, index: Any) -> Any:  # noqa: ANN401
        """Return the rows at an index that is known to be within the storage."""

    def entry(self, key: NestedKey, index: Tensor) -> Tensor | None:
        """Return one entry of elements.

        Args:
            key: of the entry, in rows that are TensorDicts or dicts.
            index: element numbers, `[n]` int64.

        Returns:
            The entry, `[n, ...]`; None if the rows have no such tensor.
        """
        rows = self.get(self.unravel(index))
        if not isinstance(rows, list):
            return _lookup(rows, key)
        values = [_lookup(row, key) for row in rows]
        return None if any(value is None for value in values) else torch.stack(values)

    @abstractmethod
    def rows_of(self, data: Any) -> int:  # noqa: ANN401
        """Return how many rows a batch holds.

        Raises:
            ShapeError: it has no row dimension.
        """

    @abstractmethod
    def empty(self) -> None:
        """Forget every row."""

    def __len__(self) -> int:
        return self._rows * self.inner_size

    @property
    def inner_shape(self) -> torch.Size:
        """Size of the dimensions after the first that samplers see; empty unless `ndim > 1`."""
        return torch.Size([])

    @property
    def inner_size(self) -> int:
        """Number of elements in a row, 1 unless `ndim > 1`."""
        return 1

    @property
    def max_rows(self) -> int:
        """Capacity along the first dimension."""
        return max(1, self.max_size // self.inner_size)

    def room_for(self, data: Any) -> int:  # noqa: ANN401
        """Return the capacity along the first dimension for rows like those of the batch `data`."""
        return self.max_rows

    @property
    def num_rows(self) -> int:
        """Rows in use along the first dimension."""
        return self._rows

    @property
    def newest(self) -> int | None:
        """The row that was written last, as far as the writer tells; None if it is unknown."""
        writer = self._writer()
        return None if writer is None or not self._rows else writer.newest

    def follow(self, writer: HasNewest) -> None:
        """Take the writer that fills the storage, as long as it lives."""
        self._writer = _Link(writer)

    def unravel(self, flat: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Turn element numbers into the index of `get`: a tensor, or one tensor per dimension."""
        if self.ndim == 1:
            return flat
        return torch.unravel_index(flat, (self.max_rows, *self.inner_shape))

    def ravel(self, index: Any) -> Tensor:  # noqa: ANN401
        """Turn an index that `unravel` or a sample's `index` entry gave into element numbers."""
        if isinstance(index, tuple):
            index = torch.stack([torch.as_tensor(part) for part in index], -1)
        index = torch.as_tensor(index)
        if self.ndim == 1:
            return index
        if index.ndim == 0 or index.shape[-1] != self.ndim:
            raise IndexError(
                f"An index of this storage has {self.ndim} coordinates in its last dimension, "
                f"given shape {list(index.shape)}. Pass the `index` entry of a sample."
            )
        flat = torch.zeros(index.shape[:-1], dtype=torch.int64)
        for size, part in zip((self.max_rows, *self.inner_shape), index.unbind(-1), strict=True):
            flat = flat * size + part
        return flat

    def contains(self, item: int | Tensor) -> bool | Tensor:
        """Return whether element numbers are within the storage."""
        return (item >= 0) & (item < len(self))

    def __contains__(self, item: int) -> bool:
        return bool(self.contains(item))

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        return self.get(index)

    def __setitem__(self, index: Any, data: Any) -> None:  # noqa: ANN401
        self.set(index, data)

    def attach(self, buffer: object) -> None:  # noqa: B027 (optional)
        """Tell the storage which buffer uses it; a storage that shares rows may need to know."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(len={len(self)}, max_size={self.max_size})"

    # --------------------------------------------------------------- saving

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return all but the rows that `write_rows` writes, as plain values."""

    @abstractmethod
    def write_rows(self, folder: Path) -> None:
        """Write the rows to files in `folder`."""

    @abstractmethod
    def check_description(self, described: dict[str, Any]) -> None:
        """Raise unless `read_rows` can take what `describe` returned.

        Raises:
            SpecError: capacity, layout or keys differ.
        """

    @abstractmethod
    def read_rows(self, folder: Path, described: dict[str, Any]) -> None:
        """Replace the rows with those in `folder`."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return the rows as tensors that share memory with the storage."""

    @abstractmethod
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the rows with copies of those that `state_dict` returned."""

    def _check_capacity(self, described: dict[str, Any]) -> None:
        kind, size = described.get("storage"), described.get("max_size")
        if kind != self._family():
            raise SpecError(
                f"The saved rows are of a {kind} storage, this is a `{type(self).__name__}`. "
                "Build the buffer with the storage it was saved with."
            )
        if size != self.max_size:
            raise SpecError(
                f"The saved storage has max_size={size}, this one max_size={self.max_size}: its "
                f"oldest row would move. Build it with max_size={size}."
            )

    def _family(self) -> str:
        return "tensor"


def _lookup(row: Any, key: NestedKey) -> Tensor | None:  # noqa: ANN401
    if is_tensor_collection(row):
        value = row.get(key, None)
    else:
        value = row
        for part in (key,) if isinstance(key, str) else key:
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, bool | int | float):
            value = torch.tensor(value)
    return value if isinstance(value, Tensor) else None
