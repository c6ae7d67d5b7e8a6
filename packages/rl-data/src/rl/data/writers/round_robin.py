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

    Example:
        >>> from rl.data.storages import ListStorage
        >>> writer, storage = RoundRobinWriter(), ListStorage(3)
        >>> writer.register_storage(storage)
        >>> writer.extend(["a", "b"]), writer.extend(["c", "d"])
        (tensor([0, 1]), tensor([2, 0]))
        >>> storage.get(slice(None))
        ['d', 'b', 'c']
    """

    def __init__(self) -> None:
        super().__init__()
        self._cursor = 0
        self._write_count = 0

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
        row = self._cursor
        self.storage.set(row, data)
        self._advance(1)
        return self._elements(torch.tensor([row]))

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
        start = self._cursor
        stop = start + count
        rows = torch.arange(start, stop)
        if stop <= room:
            storage.set(range(start, stop), data)
        else:
            rows %= room
            storage.set(rows, data)
        self._advance(count)
        return self._elements(rows)

    def _advance(self, count: int) -> None:
        # the first write of a lazy storage settles how many rows there are
        self._cursor = (self._cursor + count) % self.storage.max_rows
        self._write_count += count

    def _too_many(self, count: int, room: int) -> ShapeError:
        return ShapeError(
            f"`extend` was given {count} rows, the storage has room for {room}: the first would be "
            f"overwritten within the call. Write only the last {room}, or raise the storage's "
            "`max_size`."
        )

    def empty(self, empty_write_count: bool = True) -> None:
        """Return to the first row."""
        self._cursor = 0
        if empty_write_count:
            self._write_count = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the cursor and the number of rows written."""
        return {"cursor": self._cursor, "write_count": self._write_count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        self._cursor = int(state_dict["cursor"])
        self._write_count = int(state_dict["write_count"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cursor={self._cursor}, write_count={self._write_count})"


class TensorDictRoundRobinWriter(RoundRobinWriter):
    """A `RoundRobinWriter` whose buffer notes the element numbers under `"index"` in samples.

    Example:
        >>> TensorDictRoundRobinWriter().writes_index
        True
    """

    writes_index = True
