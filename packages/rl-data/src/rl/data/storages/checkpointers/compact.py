"""Checkpointers of trajectories that write each observation once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from rl.core.errors import SpecError
from rl.data.storages.base import Storage
from rl.data.storages.checkpointers.base import StorageCheckpointerBase
from rl.data.storages.checkpointers.flat import DONE_KEYS, REWARD_KEYS, Flat2TED, TED2Flat
from rl.data.storages.checkpointers.nested import Nested2TED, TED2Nested
from rl.data.storages.layout import nest_columns
from rl.data.storages.tensor_storage import TensorStorage

__all__ = ["CompactCheckpointer", "FlatStorageCheckpointer", "NestedStorageCheckpointer"]


class CompactCheckpointer(StorageCheckpointerBase):
    """Base of the checkpointers that chain observations; see `TED2Flat`.

    Storages with several numbered dimensions are chained along the first, time.

    Args:
        done_keys: last parts of the names of done flags, which are not chained.
        reward_keys: the same for rewards.
    """

    def __init__(
        self,
        done_keys: Sequence[str] | None = None,
        reward_keys: Sequence[str] | None = None,
    ) -> None:
        self.done_keys = tuple(DONE_KEYS if done_keys is None else done_keys)
        self.reward_keys = tuple(REWARD_KEYS if reward_keys is None else reward_keys)

    @abstractmethod
    def write_rows(self, rows: TensorDict, folder: Path) -> None:
        """Write rows, `[N]`."""

    @abstractmethod
    def read_rows(self, folder: Path) -> TensorDict:
        """Return the rows that `write_rows` wrote."""

    def write(self, storage: Storage, folder: Path) -> dict[str, Any]:
        """Write the rows."""
        described = storage.describe()
        if not isinstance(storage, TensorStorage):
            raise SpecError(
                f"`{type(self).__name__}` saves tensor storages of TensorDicts, given {storage!r}."
            )
        if described["rows"]:
            rows = storage.state_dict()["_storage"]
            self.write_rows(_time_last(rows, storage.ndim), folder)
        return described

    def read(self, storage: Storage, folder: Path, described: dict[str, Any]) -> None:
        """Read the rows."""
        storage.empty()
        if not described["rows"]:
            return
        rows = self.read_rows(folder)
        if described["ndim"] > 1:
            inner = described["layout"]["columns"][0][1][: described["ndim"] - 1]
            rows = _time_first(rows, described["rows"], inner)
        storage.set(range(described["rows"]), nest_columns(rows, described["layout"]))


class FlatStorageCheckpointer(CompactCheckpointer):
    """Saves trajectories with each observation once, as the memory maps of a TensorDict.

    Args:
        done_keys: last parts of the names of done flags, which are not chained.
        reward_keys: the same for rewards.

    Example:
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> rb = TensorDictReplayBuffer(
        ...     storage=LazyTensorStorage(9, checkpointer=FlatStorageCheckpointer())
        ... )
        >>> rb.storage.checkpointer.format
        'flat'
    """

    format = "flat"

    def write_rows(self, rows: TensorDict, folder: Path) -> None:
        """Write rows, `[N]`."""
        hook = TED2Flat(done_keys=self.done_keys, reward_keys=self.reward_keys)
        hook(rows).memmap(str(folder), copy_existing=True)

    def read_rows(self, folder: Path) -> TensorDict:
        """Return the rows that `write_rows` wrote."""
        return Flat2TED()(TensorDict.load_memmap(str(folder)))


class NestedStorageCheckpointer(CompactCheckpointer):
    """Saves trajectories as nested tensors: the values, and the bounds of the trajectories.

    Args:
        done_keys: last parts of the names of done flags, which are not chained.
        reward_keys: the same for rewards.

    Example:
        >>> NestedStorageCheckpointer().format
        'nested'
    """

    format = "nested"

    def write_rows(self, rows: TensorDict, folder: Path) -> None:
        """Write rows, `[N]`."""
        nested = TED2Nested(done_keys=self.done_keys, reward_keys=self.reward_keys)(rows)
        parts = TensorDict({})
        for key, leaf in nested.items(include_nested=True, leaves_only=True):
            path = key if isinstance(key, tuple) else (key,)
            parts["values", *path] = leaf.values()
            parts["offsets", *path] = leaf.offsets()
        parts.memmap(str(folder), copy_existing=True)

    def read_rows(self, folder: Path) -> TensorDict:
        """Return the rows that `write_rows` wrote."""
        parts = TensorDict.load_memmap(str(folder))
        values, offsets = parts["values"], parts["offsets"]
        nested = TensorDict({}, batch_size=[_count(offsets)])
        for key, leaf in values.items(include_nested=True, leaves_only=True):
            bounds = torch.Tensor.clone(offsets[key])
            nested[key] = torch.nested.nested_tensor_from_jagged(torch.Tensor.clone(leaf), bounds)
        return Nested2TED()(nested)


def _count(offsets: TensorDict) -> int:
    first = next(iter(offsets.values(include_nested=True, leaves_only=True)))
    return len(first) - 1


def _time_last(rows: TensorDict, ndim: int) -> TensorDict:
    """Flatten `[T, *inner]` with time running fastest."""
    if ndim == 1:
        return rows
    return _each_leaf(
        rows, lambda leaf: leaf.flatten(1, ndim - 1).transpose(0, 1).flatten(0, 1).contiguous()
    )


def _time_first(rows: TensorDict, time: int, inner: list[int]) -> TensorDict:
    """Undo `_time_last`; the batch dimension is the time."""
    return _each_leaf(
        rows,
        lambda leaf: (
            leaf.unflatten(0, (-1, time)).transpose(0, 1).reshape(time, *inner, *leaf.shape[1:])
        ),
    )


def _each_leaf(rows: TensorDict, change: Callable[[Tensor], Tensor]) -> TensorDict:
    changed = {key: change(leaf) for key, leaf in rows.items(include_nested=True, leaves_only=True)}
    count = len(next(iter(changed.values())))
    result = TensorDict({}, batch_size=[count])
    for key, leaf in changed.items():
        result[key] = leaf
    return result
