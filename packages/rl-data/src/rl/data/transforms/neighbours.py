"""Rows before and after those of a batch, as they are stored.

Their number does not enter the cost: only the flags of the rows looked at are read.
"""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase, is_tensor_collection
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, RLError
from rl.core.transform import Transform
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.transforms.trajectories import TRAJ_KEY, any_feature
from rl.data.writers.immutable import ImmutableDatasetWriter
from rl.data.writers.round_robin import RoundRobinWriter

__all__ = ["Neighbours", "buffer_of"]


def buffer_of(transform: Transform) -> Any:  # noqa: ANN401 (a buffer, which imports transforms)
    """Return the buffer that holds a transform.

    Raises:
        RLError: none does.
    """
    holder = transform
    while holder is not None and not hasattr(holder, "buffer"):
        holder = getattr(holder, "container", None)
    if holder is None:
        raise RLError(
            f"`{type(transform).__name__}` reads the rows of a buffer and belongs to none: give it "
            "to one with `ReplayBuffer(transform=...)` or `append_transform`."
        )
    return holder.buffer


class Neighbours:
    """The stored order of a buffer's rows, as it is now.

    Elements are numbered as samplers do. Rows of one env follow each other along the first
    dimension of the storage; the newest may be followed by the oldest in the storage, never here.

    Args:
        storage: of tensors.
        writer: writes in a circle, or not at all.
        done_key: the flag that ends a trajectory.
        traj_key: ids of trajectories, used where they are stored.
        owner: who asks, for messages.
        past: `[rows, *inner]`, what is known of the rows before the oldest, with their flags.

    Elements of the past have the numbers from `len(storage)` on; `take` reads them all.

    Raises:
        RLError: storage or writer keep no order of rows that could be read.
        MissingKeyError: the flag is not stored.
    """

    def __init__(
        self,
        storage: Any,  # noqa: ANN401
        writer: Any,  # noqa: ANN401
        done_key: NestedKey,
        traj_key: NestedKey | None = TRAJ_KEY,
        *,
        owner: str,
        past: TensorDictBase | None = None,
    ) -> None:
        if not isinstance(storage, TensorStorage):
            raise RLError(
                f"`{owner}` reads single columns, and the storage is a "
                f"`{type(storage).__name__}`: use `LazyTensorStorage` or `LazyMemmapStorage`."
            )
        if not isinstance(writer, RoundRobinWriter | ImmutableDatasetWriter):
            raise RLError(
                f"`{owner}` needs rows in the order of time, and the writer is a "
                f"`{type(writer).__name__}`: use a `RoundRobinWriter`."
            )
        self.columns = storage[:]
        if not is_tensor_collection(self.columns):
            raise RLError(f"`{owner}` reads keys, and the rows are no TensorDicts: write those.")
        self._owner = owner
        self._inner = storage.inner_size
        self._dims = storage.ndim
        self.num_rows = storage.num_rows
        self._past = past
        self._past_rows = 0 if past is None else len(past)
        cursor = getattr(writer, "cursor", 0)
        self.oldest = cursor if self.num_rows == storage.max_rows else 0
        self.done_key = done_key
        self.traj_key = traj_key if traj_key is not None and self.stores(traj_key) else None
        self._column(self.columns, done_key)

    def take(self, key: NestedKey, elements: Tensor) -> Tensor:
        """Return an entry of elements, `[n, ...]`.

        Raises:
            MissingKeyError: it is not stored.
        """
        column = self._column(self.columns, key)
        place = elements.to(column.device)
        if not self._past_rows:
            return column.index_select(0, place)
        total = self.num_rows * self._inner
        taken = column.index_select(0, place.clamp(max=total - 1))
        old = place >= total
        if old.any():
            taken[old] = self._column(self._past, key)[place[old] - total].to(taken.device)
        return taken

    def rows(self, ages: Tensor, keys: list[NestedKey]) -> TensorDictBase:
        """Return entries of whole rows by their age, `[rows, *inner]`; 0 is the oldest stored."""
        env = torch.arange(self._inner)
        elements = self._element(ages[:, None], env).reshape(-1)
        shape = [len(ages), *self.columns.shape[1 : self._dims]]
        wanted = [*keys, self.done_key, *([] if self.traj_key is None else [self.traj_key])]
        result = TensorDict({}, shape)
        for key in dict.fromkeys(wanted):
            taken = self.take(key, elements)
            result.set(key, taken.reshape(*shape, *taken.shape[1:]))
        return result

    def _column(self, data: TensorDictBase, key: NestedKey) -> Tensor:
        column = data.get(key, None)
        if column is None:
            raise MissingKeyError(
                f"`{self._owner}` reads `{key}`, which is not stored; the buffer has "
                f"{sorted(map(str, data.keys(True, True)))}."
            )
        return column.flatten(0, self._dims - 1) if self._dims > 1 else column

    def previous(self, elements: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return the `count` elements before each within its trajectory, oldest first.

        Returns:
            `[n, count]` elements; those before the trajectory, or before the oldest row, are
            its first element. And whether each is a real one, `[n, count]` bool.
        """
        found = elements.new_empty(len(elements), count)
        real = torch.empty(len(elements), count, dtype=torch.bool)
        current, open_ = elements, torch.ones(len(elements), dtype=torch.bool)
        for place in reversed(range(count)):
            before, exists = self._step(current, -1)
            open_ = open_ & exists & ~self._ends_after(before)
            current = torch.where(open_, before, current)
            found[:, place], real[:, place] = current, open_
        return found, real

    def following(self, elements: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next element of each, and whether it is one of the same trajectory."""
        after, exists = self._step(elements, 1)
        return after, exists & ~self._ends_after(elements)

    def has_row_before(self, elements: Tensor) -> Tensor:
        """Return whether anything is known of the row before each, of whatever trajectory."""
        return self._step(elements, -1)[1]

    def stores(self, key: NestedKey) -> bool:
        """Return whether the rows have an entry."""
        return self.columns.get(key, None) is not None

    # ---------------------------------------------------------------- order

    def _age(self, elements: Tensor) -> Tensor:
        row = elements // self._inner
        age = (row - self.oldest) % self.num_rows
        if not self._past_rows:
            return age
        return torch.where(row < self.num_rows, age, row - self.num_rows - self._past_rows)

    def _element(self, age: Tensor, env: Tensor) -> Tensor:
        row = (self.oldest + age) % self.num_rows
        if self._past_rows:
            row = torch.where(age < 0, self.num_rows + self._past_rows + age, row)
        return row * self._inner + env

    def _step(self, elements: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the elements a row away, and whether they are stored; else the same ones."""
        age = self._age(elements) + step
        exists = (age >= -self._past_rows) & (age < self.num_rows)
        nearest = age.clamp(-self._past_rows, self.num_rows - 1)
        return self._element(nearest, elements % self._inner), exists

    def _ends_after(self, elements: Tensor) -> Tensor:
        """Return whether each element is the last of its trajectory, in any shape."""
        flat = elements.reshape(-1)
        ends = any_feature(self.take(self.done_key, flat), 1)
        if self.traj_key is not None:
            after = self._step(flat, 1)[0]
            other = self.take(self.traj_key, flat) != self.take(self.traj_key, after)
            ends = ends | any_feature(other, 1)
        return ends.reshape(elements.shape).to(elements.device)
