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
        """Return the number of each row of `item` in the storage, -1 where it has none."""
        return self.query_module.hash_to_int(self.query_module.hash(item), extend=False)

    def contains(self, item: TensorDictBase) -> Tensor:
        """Return which rows of `item` have a value, bool of `item`'s batch size."""
        return self.index_of(item) >= 0

    def clear(self) -> None:
        """Forget every row."""
        self.query_module.hash_to_int.clear()
        for storage in self._storages.values():
            storage.empty()

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write into `tensordict` the values of its rows, and return it."""
        return tensordict.update(self[tensordict])

    def __getitem__(self, item: TensorDictBase) -> TensorDictBase:
        numbers = self.index_of(item)
        unknown = int((numbers < 0).sum())
        if unknown:
            raise KeyError(
                f"{unknown} of {numbers.numel()} rows were never set: ask `contains(item)` first."
            )
        return self.read(numbers)

    def read(self, index: Tensor) -> TensorDictBase:
        """Return the values under numbers that `index_of` returned, `[*B]`."""
        rows = self._rows(index.reshape(-1))
        return rows.reshape(index.shape)

    def __setitem__(self, item: TensorDictBase, value: TensorDictBase) -> None:
        if item.batch_size != value.batch_size:
            raise ShapeError(
                f"The keys have batch size {list(item.batch_size)}, the values "
                f"{list(value.batch_size)}: give one value for each key."
            )
        value = self._values(value).reshape(-1)
        hashes = self.query_module.hash(item).reshape(-1)
        known = self.query_module.hash_to_int(hashes, extend=False)
        self._check_room(hashes[known < 0])
        numbers = self.query_module.hash_to_int(hashes, extend=True)
        for rows in _without_repetition(numbers):
            self._write(numbers[rows], value[rows])

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
        """Write rows whose numbers are all different."""
        is_new = numbers >= len(self)
        if self._write_fn is not None and not is_new.all():
            known = ~is_new
            self._put(numbers[known], self._write_fn(self._rows(numbers[known]), value[known]))
            numbers, value = numbers[is_new], value[is_new]
        if len(numbers):
            order = numbers.argsort()  # a storage grows without gaps
            self._put(numbers[order], value[order])

    def _put(self, numbers: Tensor, value: TensorDictBase) -> None:
        for key, storage in self._storages.items():
            storage.set(numbers, value if key is None else value.get(key))

    def _rows(self, numbers: Tensor) -> TensorDictBase:
        found = {key: self._read(storage, numbers) for key, storage in self._storages.items()}
        if None in found:
            return found[None]
        rows = TensorDict(batch_size=[len(numbers)])
        for key, values in found.items():
            rows.set(key, values)
        return rows

    def _read(self, storage: Storage, numbers: Tensor) -> Any:  # noqa: ANN401
        values = storage.get(numbers)
        return self._collate(values) if isinstance(storage, ListStorage) else values

    def get_extra_state(self) -> dict[str, Any]:
        """Return the rows; the numbers of the keys are in the query module's own state."""
        return {str(key): part.state_dict() for key, part in self._storages.items() if len(part)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the rows that `get_extra_state` returned."""
        for key, part in self._storages.items():
            if str(key) in state:
                part.load_state_dict(state[str(key)])
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
