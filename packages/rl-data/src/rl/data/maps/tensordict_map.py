"""A map from rows of TensorDicts to rows of TensorDicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import unravel_key
from rl.core.errors import ShapeError
from rl.data.maps.query import QueryModule
from rl.data.maps.tensor_map import TensorMap
from rl.data.storages.base import Storage
from rl.data.storages.lazy_tensor_storage import LazyTensorStorage
from rl.data.storages.list_storage import ListStorage, stack_items

__all__ = ["TensorDictMap"]

Write = Callable[[Any, Any], Any]


class TensorDictMap(TensorDictModuleBase, TensorMap[TensorDictBase, TensorDictBase]):
    """Keeps a value for each row of its keys: a dict over TensorDicts.

    Args:
        query_module: numbers the rows of keys.
        storage: where the values live: a storage for all, or one for each entry.
        collate_fn: turns what a storage returns into a batch; lists are stacked by default.
        out_keys: the entries of the values; by default the names of `storage`, or else those of
            the first values set.
        write_fn: `write_fn(stored, new)` returns what is kept for rows that are known, both
            TensorDicts `[n]`; by default the new values.

    Reads:
        the entries of the query: [*B, ...].
    Writes:
        the entries of `out_keys`: [*B, ...].

    Raises:
        KeyError: a row that is read was never set.
        IndexError: more rows are set than the storage has room for; nothing is written.
        ShapeError: keys and values differ in their batch size.

    Example:
        >>> query = QueryModule(in_keys=["square"])
        >>> table = TensorDictMap(query_module=query, storage=LazyTensorStorage(100))
        >>> squares = TensorDict({"square": torch.tensor([[1], [5]])}, [2])
        >>> table[squares] = TensorDict({"value": torch.tensor([0.5, 0.1])}, [2])
        >>> table[squares[1]]["value"], len(table)
        (tensor(0.1000), 2)
        >>> table.contains(TensorDict({"square": torch.tensor([[5], [7]])}, [2]))
        tensor([ True, False])
    """

    def __init__(
        self,
        *,
        query_module: QueryModule,
        storage: Storage | Mapping[NestedKey, Storage],
        collate_fn: Callable[[Any], Any] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        write_fn: Write | None = None,
    ) -> None:
        super().__init__()
        self.query_module = query_module
        self.in_keys = query_module.in_keys
        self._storages = (
            {unravel_key(key): part for key, part in storage.items()}
            if isinstance(storage, Mapping)
            else {None: storage}
        )
        self._collate = stack_items if collate_fn is None else collate_fn
        if out_keys is None and isinstance(storage, Mapping):
            out_keys = list(self._storages)
        self.out_keys = [unravel_key(key) for key in out_keys or ()]
        self._write_fn = write_fn
        # the row of each number that the query module gave, -1 if it has none
        self._row_of = torch.empty(0, dtype=torch.int64)

    @classmethod
    def from_tensordict_pair(  # noqa: PLR0913
        cls,
        source: TensorDictBase,
        dest: TensorDictBase,
        in_keys: Sequence[NestedKey],
        out_keys: Sequence[NestedKey] | None = None,
        max_size: int = 1000,
        *,
        storage_constructor: Callable[[int], Storage] | None = None,
        hash_module: Callable | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        write_fn: Write | None = None,
    ) -> TensorDictMap:
        """Return an empty map for keys like `source` and values like `dest`.

        Args:
            source: an example of the keys.
            dest: an example of the values.
            in_keys: the entries of `source` that make up the key.
            out_keys: the entries of `dest` that make up the value, all of them by default.
            max_size: capacity.
            storage_constructor: makes the storage, from its capacity; `LazyTensorStorage` by
                default.
            hash_module: see `QueryModule`.
            collate_fn: see the constructor.
            write_fn: see the constructor.
        """
        query = QueryModule(in_keys, hash_module=hash_module)
        query.hash(source)  # an entry that is missing raises here
        keys = list(dest.keys(True, True)) if out_keys is None else list(out_keys)
        make = LazyTensorStorage if storage_constructor is None else storage_constructor
        return cls(
            query_module=query,
            storage=make(max_size),
            collate_fn=collate_fn,
            out_keys=keys,
            write_fn=write_fn,
        )

    @property
    def max_size(self) -> int:
        """Capacity: that of the smallest storage."""
        return min(storage.max_size for storage in self._storages.values())

    def __len__(self) -> int:
        return min(len(storage) for storage in self._storages.values())

    def index_of(self, item: TensorDictBase) -> Tensor:
        """Return the row of the storage that each row of `item` has, -1 where it has none."""
        hashes = self.query_module.hash(item)
        return self._rows_of(self.query_module.hash_to_int(hashes, extend=False))

    def _rows_of(self, numbers: Tensor) -> Tensor:
        known = (numbers >= 0) & (numbers < len(self._row_of))
        rows = torch.full_like(numbers, -1)
        rows[known] = self._row_of.to(numbers.device)[numbers[known]]
        return rows

    def contains(self, item: TensorDictBase) -> Tensor:
        """Return which rows of `item` have a value, bool of `item`'s batch size."""
        return self.index_of(item) >= 0

    def clear(self) -> None:
        """Forget every row."""
        self.query_module.hash_to_int.clear()
        self._row_of = self._row_of[:0]
        for storage in self._storages.values():
            storage.empty()

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write into `tensordict` the values of its rows, and return it."""
        return tensordict.update(self[tensordict])

    def __getitem__(self, item: TensorDictBase) -> TensorDictBase:
        rows = self.index_of(item)
        unknown = int((rows < 0).sum())
        if unknown:
            raise KeyError(
                f"{unknown} of {rows.numel()} rows were never set: ask `contains(item)` first."
            )
        return self.read(rows)

    def read(self, index: Tensor) -> TensorDictBase:
        """Return the values in rows that `index_of` returned, `[*B]`."""
        values = self._values_of(index.reshape(-1))
        return values.reshape(index.shape)

    def __setitem__(self, item: TensorDictBase, value: TensorDictBase) -> None:
        if item.batch_size != value.batch_size:
            raise ShapeError(
                f"The keys have batch size {list(item.batch_size)}, the values "
                f"{list(value.batch_size)}: give one value for each key."
            )
        value = self._values(value).reshape(-1)
        hashes = self.query_module.hash(item).reshape(-1)
        known = self._rows_of(self.query_module.hash_to_int(hashes, extend=False)) >= 0
        self._check_room(hashes[~known])
        numbers = self.query_module.hash_to_int(hashes, extend=True).cpu()
        for places in _without_repetition(numbers):
            self._write(numbers[places], value[places])

    def _values(self, value: TensorDictBase) -> TensorDictBase:
        if not self.out_keys:
            self.out_keys = sorted(value.keys(True, True), key=str)
        return value.select(*self.out_keys)

    def _check_room(self, hashes: Tensor) -> None:
        new = len(hashes.unique())
        if len(self) + new > self.max_size:
            raise IndexError(
                f"The map holds {len(self)} of {self.max_size} rows and was given {new} new ones: "
                "raise the storage's `max_size`."
            )

    def _write(self, numbers: Tensor, value: TensorDictBase) -> None:
        """Write values of different numbers; those without a row get one once it is written."""
        rows = self._rows_of(numbers)
        known, new = rows >= 0, rows < 0
        if known.any():
            rows, kept = rows[known], value[known]
            if self._write_fn is not None:
                kept = self._write_fn(self._values_of(rows), kept)
            self._put(rows, kept)
        if new.any():
            self._append(numbers[new], value[new])

    def _append(self, numbers: Tensor, value: TensorDictBase) -> None:
        order = numbers.argsort()
        numbers, value = numbers[order], value[order]
        rows = len(self) + torch.arange(len(numbers))
        self._put(rows, value)
        missing = int(numbers[-1]) + 1 - len(self._row_of)
        if missing > 0:
            self._row_of = torch.cat([self._row_of, torch.full((missing,), -1)])
        self._row_of[numbers] = rows

    def _put(self, rows: Tensor, value: TensorDictBase) -> None:
        for key, storage in self._storages.items():
            storage.set(rows, value if key is None else value.get(key))

    def _values_of(self, rows: Tensor) -> TensorDictBase:
        found = {key: self._read(storage, rows) for key, storage in self._storages.items()}
        if None in found:
            return found[None]
        values = TensorDict(batch_size=[len(rows)])
        for key, value in found.items():
            values.set(key, value)
        return values

    def _read(self, storage: Storage, rows: Tensor) -> Any:  # noqa: ANN401
        values = storage.get(rows)
        return self._collate(values) if isinstance(storage, ListStorage) else values

    def get_extra_state(self) -> dict[str, Any]:
        """Return the rows; the numbers of the keys are in the query module's own state."""
        stored = {str(key): part.state_dict() for key, part in self._storages.items() if len(part)}
        return {"rows": self._row_of, "storages": stored}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the rows that `get_extra_state` returned."""
        self._row_of = state["rows"].clone()
        stored = state["storages"]
        for key, part in self._storages.items():
            if str(key) in stored:
                part.load_state_dict(stored[str(key)])
            else:
                part.empty()


def _without_repetition(numbers: Tensor) -> list[Tensor]:
    """Split positions into groups in which no number appears twice, in order of appearance."""
    seen: dict[int, int] = {}
    groups: list[list[int]] = []
    for position, number in enumerate(numbers.tolist()):
        turn = seen.get(number, 0)
        seen[number] = turn + 1
        if turn == len(groups):
            groups.append([])
        groups[turn].append(position)
    return [torch.tensor(group) for group in groups]
