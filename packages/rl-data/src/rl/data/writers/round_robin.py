"""Writing in a circle: the newest row replaces the oldest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rl.core.errors import ShapeError
from rl.data.writers.base import Writer

__all__ = ["RoundRobinWriter", "TensorDictRoundRobinWriter"]


class RoundRobinWriter(Writer):
    """Fills the rows in order and starts over when the storage is full.

    Args:
        track_generations: whether each element has a number that grows when the element is
            replaced or emptied, so that who holds an index can tell whether it still means the
            same data: samples then have `"index_generation"`. See
            `ReplayBuffer.update_if_present`.

    Example:
        >>> from rl.data.storages import ListStorage
        >>> writer, storage = RoundRobinWriter(), ListStorage(3)
        >>> writer.register_storage(storage)
        >>> writer.extend(["a", "b"]), writer.extend(["c", "d"])
        (tensor([0, 1]), tensor([2, 0]))
        >>> storage.get(slice(None))
        ['d', 'b', 'c']
    """

    def __init__(self, *, track_generations: bool = False) -> None:
        super().__init__()
        self._cursor = 0
        self._write_count = 0
        self.tracks_generations = track_generations
        self._generations = torch.empty(0, dtype=torch.int64)
        self._consumer: Any = None

    @property
    def cursor(self) -> int:
        """The row that is written next."""
        return self._cursor

    @property
    def newest(self) -> int | None:
        """The row before the cursor, None if there are no rows."""
        rows = self.storage.num_rows
        return (self._cursor - 1) % rows if rows else None

    @property
    def write_count(self) -> int:
        """Number of rows written since the storage was last emptied."""
        return self._write_count

    def add(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write one row at the cursor."""
        row, passed = self._cursor, 1
        if self._consumer is not None:
            rows, passed = self._next_rows(1, self.storage.max_rows)
            row = int(rows[0])
        self.storage.set(row, data)
        return self._written(range(row, row + 1), passed)

    def extend(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write rows from the cursor on.

        Raises:
            ShapeError: there are more rows than the storage has room for.
        """
        storage = self.storage
        count = storage.rows_of(data)
        if count == 0:
            return torch.empty(0, dtype=torch.int64)
        room = storage.room_for(data)
        if count > room:
            raise self._too_many(count, room)
        rows, passed = self._next_rows(count, room)
        storage.set(rows, data)
        return self._written(rows, passed)

    def _next_rows(self, count: int, room: int) -> tuple[range | Tensor, int]:
        """Return the rows to write, and how far the cursor moves."""
        start = self._cursor
        if self._consumer is not None:
            free = self._consumer.used_up()
            if len(free):
                return self._free_first(count, room, free)
        if start + count <= room:
            return range(start, start + count), count
        return torch.arange(start, start + count) % room, count

    def _free_first(self, count: int, room: int, free: Tensor) -> tuple[Tensor, int]:
        """Take the rows that were used up, then those from the cursor on."""
        free = free[:count]
        if count == len(free):
            return free, 0
        ahead = (self._cursor + torch.arange(min(count + len(free), room))) % room
        ahead = ahead[~torch.isin(ahead, free)][: count - len(free)]
        passed = int((ahead[-1] - self._cursor) % room) + 1
        return torch.cat([free, ahead]), passed

    def _written(self, rows: range | Tensor, passed: int) -> Tensor:
        count = len(rows)
        if isinstance(rows, range):
            rows = torch.arange(rows.start, rows.stop)
        # the first write of a lazy storage settles how many rows there are
        self._cursor = (self._cursor + passed) % self.storage.max_rows
        self._write_count += count
        elements = self.elements_of(rows)
        if self.tracks_generations:
            self._grow(len(self.storage))
            self._generations[elements] += 1
        return elements

    def _too_many(self, count: int, room: int) -> ShapeError:
        return ShapeError(
            f"`extend` was given {count} rows, the storage has room for {room}: the first would be "
            f"overwritten within the call. Write only the last {room}, or raise the storage's "
            "`max_size`."
        )

    def _grow(self, size: int) -> None:
        missing = size - len(self._generations)
        if missing > 0:
            new = torch.full((missing,), -1, dtype=torch.int64)
            self._generations = torch.cat([self._generations, new])

    def generations_of(self, index: Tensor) -> Tensor:
        """Return how often elements were replaced or emptied since they were first written.

        Args:
            index: element numbers, or coordinates as samples of a storage with `ndim > 1` have.

        Raises:
            RuntimeError: the writer was not built with `track_generations=True`.
            IndexError: an element was never written.
        """
        if not self.tracks_generations:
            return super().generations_of(index)
        elements = self.storage.ravel(index).cpu()
        if elements.numel() and not 0 <= int(elements.min()) <= int(elements.max()) < len(
            self._generations
        ):
            raise IndexError(
                f"Elements [{int(elements.min())}, {int(elements.max())}] are asked for, expected "
                f"them in [0, {len(self._generations)}). Pass the `index` entry of a sample."
            )
        return self._generations[elements]

    def reuse_rows_of(self, sampler: Any) -> None:  # noqa: ANN401
        """Write to the rows that `sampler` has used up before those at the cursor."""
        self._consumer = sampler

    def restart(self, rows: int) -> None:
        """Put the cursor after the rows that the storage holds; what was there is replaced."""
        self._cursor = rows % self.storage.max_rows
        self._write_count = rows
        if self.tracks_generations:
            self._grow(len(self.storage))
            self._generations += 1

    def empty(self, empty_write_count: bool = True) -> None:
        """Return to the first row."""
        self._cursor = 0
        self._generations = self._generations + 1
        if empty_write_count:
            self._write_count = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the cursor and the number of rows written."""
        state: dict[str, Any] = {"cursor": self._cursor, "write_count": self._write_count}
        if self.tracks_generations:
            state["generations"] = self._generations
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        self._cursor = int(state_dict["cursor"])
        self._write_count = int(state_dict["write_count"])
        if "generations" in state_dict:
            self._generations = state_dict["generations"].clone()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cursor={self._cursor}, write_count={self._write_count})"


class TensorDictRoundRobinWriter(RoundRobinWriter):
    """A `RoundRobinWriter` whose buffer notes the element numbers under `"index"` in samples.

    Example:
        >>> TensorDictRoundRobinWriter().writes_index
        True
    """

    writes_index = True
