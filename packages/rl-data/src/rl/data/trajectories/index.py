"""The incremental index of the trajectories in a storage."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from rl.core.errors import ShapeError
from rl.data.storages.base import Storage
from rl.data.trajectories.boundaries import Boundaries
from rl.data.trajectories.position_set import PositionSet

__all__ = ["Change", "TrajectoryIndex"]

# longest lists of eligible trajectories that are kept, one per length
_KEPT_LENGTHS = 4
# cost of finding a trajectory, over that of a position where all are gone through
_LOOK_UP = 64
_NONE = np.empty(0, np.int64)


class Change(NamedTuple):
    """What a `refresh` took in."""

    #: positions that were written
    written: np.ndarray
    #: positions that became, or are no longer, the last of a trajectory
    ends: np.ndarray


class TrajectoryIndex:
    """Knows where each stored trajectory starts and ends, as rows are written.

    Positions number the elements column by column, time running along each column: element
    `(row, column)` of a storage of `R` rows has position `column * R + row`. A column is a ring.
    The index is the set of the last positions of trajectories, with their lengths. A trajectory
    ends where ids or flags say so, and at the newest row, after which comes the oldest.

    Hooks note what was written; `refresh` reads the boundaries of these rows and of their
    neighbours, so each written row costs a constant, at the next draw.

    Args:
        boundaries: where trajectories end.

    Example:
        >>> from rl.data.storages.lazy_tensor_storage import LazyTensorStorage
        >>> storage, index = LazyTensorStorage(6), TrajectoryIndex(Boundaries())
        >>> storage.set(range(5), {"episode": torch.tensor([0, 0, 0, 1, 1])})
        >>> changes = index.refresh(storage)
        >>> index.count(1), index.count(3), index.longest()
        (2, 1, 3)
        >>> last = index.select(np.array([0, 1]), 1)
        >>> last.tolist(), index.length_of(last).tolist()
        ([2, 4], [3, 2])
    """

    def __init__(self, boundaries: Boundaries) -> None:
        self.boundaries = boundaries
        self.rows = 0  # capacity of a column
        self.columns = 0
        self.used = 0  # rows in use
        self._newest: int | None = None
        self.reset()

    # ---------------------------------------------------------------- writing

    def reset(self, newest: int | None = None) -> None:
        """Forget everything; the next `refresh` reads all rows.

        Args:
            newest: the row that was written last; the last one in use if None.
        """
        self.boundaries.forget()
        self.rows = self.columns = self.used = 0
        self._newest = newest
        self._written = 0
        self._settle(stale=True)

    def reread(self) -> None:
        """Note that any boundary may have changed; which rows were written in turn has not."""
        self.boundaries.forget()
        self._settle(stale=True)

    def extend(self, storage: Storage, element: np.ndarray) -> None:
        """Note that whole rows were written, in the order of their elements.

        Elements of rows that a writer did not keep have the number -1.
        """
        self._fit(storage)
        rows = element[:: self.columns] // self.columns
        rows = rows[rows >= 0]
        self._written += rows.size
        if rows.size == 0:
            return
        breaks = np.flatnonzero((rows[1:] - rows[:-1]) % self.rows != 1) + 1
        for run in np.split(rows, breaks) if breaks.size else (rows,):
            self._note_run(int(run[0]), run.size)

    def mark(self, storage: Storage, element: np.ndarray) -> None:
        """Note that elements were overwritten where they are."""
        self._fit(storage)
        self._touched.append(self.positions(element))
        self._pending += element.size
        self._start_over_if_many()

    def _note_run(self, first: int, count: int) -> None:
        """Note `count` consecutive rows; what follows the last of them is older."""
        before = (first - 1) % self.rows
        continues = self._newest == before
        self._seam[before] = not continues
        inside = np.arange(first, first + count) % self.rows
        self._seam[inside] = False
        self._newest = int(inside[-1])
        self._seam[self._newest] = True
        if self._runs and continues:
            begun, length = self._runs[-1]
            self._runs[-1] = (begun, length + count)
        else:
            self._runs.append((first, count))
        self._pending += count * self.columns
        self._start_over_if_many()

    def _start_over_if_many(self) -> None:
        """Read everything where that is no more than what was written."""
        if self._stale or self._pending >= self.rows * self.columns:
            self._settle(stale=True)

    def _settle(self, *, stale: bool) -> None:
        self._stale = stale
        # what was written since the last `refresh`: first row and number of rows; positions
        self._runs: list[tuple[int, int]] = []
        self._touched: list[np.ndarray] = []
        self._pending = 0

    def _fit(self, storage: Storage) -> None:
        if not self.rows:  # by now the storage knows its capacity
            self._allocate(storage.max_rows, storage.inner_size)

    def _allocate(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        size = rows * columns
        self._lasts = PositionSet(size)
        self._length = np.zeros(size, np.int64 if size >= 2**31 else np.int32)
        self._long_enough: dict[int, PositionSet] = {}
        # rows after which comes a row that was not written next: nothing goes on there
        self._seam = np.zeros(rows, bool)
        if self._newest is not None:
            self._seam[self._newest] = True

    # ---------------------------------------------------------------- reading

    def refresh(self, storage: Storage) -> Change | None:
        """Take in what was written since the last call.

        Returns:
            What changed; None if that may be everything.

        Raises:
            MissingKeyError: the rows have neither ids nor flags.
            ShapeError: ends or ids were given for another number of elements.
        """
        self._fit(storage)
        used = storage.num_rows
        self._check_static(len(storage))
        if not self._stale and not self._runs and not self._touched and used == self.used:
            return Change(_NONE, _NONE)
        expected = used if self._stale else self._expected_rows()
        if used != expected:  # written by others: they go on from where the rows ended
            self._seam[:] = False
        everything = self._stale or used != expected
        grown, self.used = used > self.used, used
        change = self._rebuild(storage) if everything else self._update(storage, grown)
        self._settle(stale=False)
        return change

    def _expected_rows(self) -> int:
        """Return how many rows are in use if all that was written is known."""
        return max([self.used, *(min(first + n, self.rows) for first, n in self._runs)])

    def _check_static(self, elements: int) -> None:
        static = self.boundaries.static
        if static is None:
            return
        if static != elements:
            raise ShapeError(
                f"`ends` or `trajectories` has {static} entries, the buffer holds {elements} "
                "elements. Give one per element of the full buffer, or name a key instead."
            )
        if self._written * self.columns > static:
            raise ShapeError(
                "Rows were overwritten after `ends` or `trajectories` was given for all of them. "
                "Name a key of the rows (`end_key=`, `traj_key=`) instead."
            )

    def _cuts(self, storage: Storage, position: np.ndarray) -> np.ndarray:
        """Return whether a trajectory ends at each position."""
        row, column = position, 0
        if self.columns > 1:
            row, column = position % self.rows, position // self.rows
        following = row + 1
        following[following == self.used] = 0
        if self.columns > 1:
            following = following * self.columns + column
        cuts = self.boundaries.after(storage, self.elements(position), following)
        return cuts if self.boundaries.static is not None else cuts | self._seam.take(row)

    def _rebuild(self, storage: Storage) -> None:
        """Read all rows."""
        used = self.used
        if not self._seam.any():
            newest = storage.newest
            self._newest = used - 1 if newest is None else newest
            self._seam[self._newest] = True
        if used < self.rows:
            self._seam[used - 1] = True
        first = np.arange(self.columns)[:, None] * self.rows
        position = (first + np.arange(used)).reshape(-1)
        cuts = self._cuts(storage, position).reshape(self.columns, used)
        # a ring without an end is one trajectory, from row 0 on
        cuts[~cuts.any(1), -1] = True
        flags = np.zeros((self.columns, self.rows), bool)
        flags[:, :used] = cuts
        self._lasts.assign(flags.reshape(-1))
        self._measure_all()

    def _measure_all(self) -> None:
        """Set the lengths of all trajectories."""
        last = self._lasts.members()
        column = last // self.rows
        before = np.roll(last, 1)
        # the first of each column follows the last of the same column
        begins = np.flatnonzero(np.diff(column, prepend=-1))
        before[begins] = last[np.append(begins[1:], last.size) - 1]
        self._length[last] = (last - before - 1) % self.used + 1
        self._long_enough = {}

    def _update(self, storage: Storage, grown: bool) -> Change:
        """Read the rows that were written, and those before them.

        Args:
            storage: where they are.
            grown: whether there are more rows than before.
        """
        written = self._written_positions()
        near = np.unique(np.concatenate([written, self.step(written, -1)]))
        changed = self._lasts.update(near, self._cuts(storage, near))
        self._drop_ended(changed)
        if changed.size * _LOOK_UP > self.used * self.columns:
            self._measure_all()
        elif changed.size or grown:
            # the trajectories on both sides, and those that may come before row 0 all of a sudden
            after = self.step(changed, 1)
            if grown:
                after = np.concatenate([after, np.arange(self.columns) * self.rows])
            affected = np.unique(np.concatenate([changed, self.last_of(after)]))
            self._measure(affected[self._lasts.has(affected)])
        return Change(written, changed)

    def _measure(self, last: np.ndarray) -> None:
        length = (last - self._last_before(last) - 1) % self.used + 1
        self._length[last] = length
        for wanted, members in self._long_enough.items():
            members.update(last, length >= wanted)

    def _drop_ended(self, changed: np.ndarray) -> None:
        gone = changed[~self._lasts.has(changed)]
        for members in self._long_enough.values():
            members.update(gone, False)

    def _written_positions(self) -> np.ndarray:
        rows = [np.arange(first, first + count) % self.rows for first, count in self._runs]
        row = np.concatenate(rows) if rows else np.empty(0, np.int64)
        position = (np.arange(self.columns)[:, None] * self.rows + row).reshape(-1)
        return np.concatenate([position, *self._touched])

    # ------------------------------------------------------------- trajectories

    def count(self, length: int) -> int:
        """Return how many trajectories have at least `length` rows."""
        return len(self._at_least(length))

    def select(self, rank: np.ndarray, length: int) -> np.ndarray:
        """Return the last positions of trajectories, numbered among those of at least `length`."""
        return self._at_least(length).select(rank)

    def all(self, length: int) -> np.ndarray:
        """Return the last positions of all trajectories of at least `length` rows, in order."""
        return self._at_least(length).members()

    def longest(self) -> int:
        """Return the length of the longest trajectory; looks at all of them."""
        return int(self._length[self._lasts.members()].max())

    def length_of(self, last: np.ndarray) -> np.ndarray:
        """Return the lengths of trajectories, given their last positions, `[k]` int64."""
        return self._length.take(last).astype(np.int64)

    def last_of(self, position: np.ndarray) -> np.ndarray:
        """Return the last positions of the trajectories that hold the given ones."""
        low, high = self._bounds(position)
        rank = self._lasts.rank(position)
        return self._lasts.select(np.where(rank < high, rank, low))

    def first_of(self, last: np.ndarray) -> np.ndarray:
        """Return the first positions of trajectories, given their last ones."""
        return self.step(last, 1 - self.length_of(last))

    # ---------------------------------------------------------------- positions

    def step(self, position: np.ndarray, by: np.ndarray | int) -> np.ndarray:
        """Return the positions `by` rows later in the same columns."""
        row = position % self.rows
        return position - row + (row + by) % self.used

    def elements(self, position: np.ndarray) -> np.ndarray:
        """Return the numbers of the elements at positions."""
        if self.columns == 1:
            return position
        return position % self.rows * self.columns + position // self.rows

    def positions(self, element: np.ndarray) -> np.ndarray:
        """Return the positions of elements."""
        if self.columns == 1:
            return element
        return element % self.columns * self.rows + element // self.columns

    def _at_least(self, length: int) -> PositionSet:
        if length <= 1:
            return self._lasts
        found = self._long_enough.get(length)
        if found is None:
            found = PositionSet(self.rows * self.columns)
            last = self._lasts.members()
            found.update(last[self._length[last] >= length], True)
            while len(self._long_enough) >= _KEPT_LENGTHS:
                del self._long_enough[next(iter(self._long_enough))]
            self._long_enough[length] = found
        return found

    def _last_before(self, position: np.ndarray) -> np.ndarray:
        low, high = self._bounds(position)
        rank = self._lasts.rank(position)
        return self._lasts.select(np.where(rank > low, rank, high) - 1)

    def _bounds(self, position: np.ndarray) -> tuple[np.ndarray | int, np.ndarray | int]:
        """Return how many last positions are before the position's column, and before the next."""
        if self.columns == 1:
            return 0, len(self._lasts)
        start = position // self.rows * self.rows
        return self._lasts.rank(start), self._lasts.rank(start + self.rows)

    # ------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Return what cannot be read from the rows: where rows were not written in turn."""
        seams = np.flatnonzero(self._seam) if self.rows else _NONE
        return {
            "seams": torch.from_numpy(seams.astype(np.int64)),
            "newest": self._newest,
            "written": self._written,
            "shape": [self.rows, self.columns],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned; the next `refresh` reads all rows."""
        self.reset(state["newest"])
        self._written = int(state["written"])
        rows, columns = state["shape"]
        if rows:
            self._allocate(rows, columns)
            self._seam[state["seams"].numpy()] = True
