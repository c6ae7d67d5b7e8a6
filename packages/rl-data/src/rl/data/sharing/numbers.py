"""Numbers that several processes read, changed all at once or not at all."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

__all__ = ["Numbers", "SharedNumbers"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the processes agree on.

    Attributes:
        allocated: whether the columns exist.
        rows: rows in use.
        cursor: the row that is written next.
        write_count: rows written since the count last started over.
        total: rows written ever.
        epoch: how often the rows were emptied or loaded.
        undo: rows of the journal that a write not yet finished has replaced.
        undone: how many unfinished writes of dead processes were taken back.
        version: counts changes.
    """

    allocated: int = 0
    rows: int = 0
    cursor: int = 0
    write_count: int = 0
    total: int = 0
    epoch: int = 0
    undo: int = 0
    undone: int = 0
    version: int = 0


_COUNT = len(fields(Numbers))


class SharedNumbers:
    """`Numbers` in a file that processes map.

    There are two places for them, and a word that says which one holds. A change fills the other
    place and then sets the word, one store: a process that dies in between has changed nothing.

    Args:
        path: the file.
        fresh: whether it is made, with numbers of zero.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers"
        >>> SharedNumbers(path, fresh=True).change(rows=3)
        >>> SharedNumbers(path).read().rows
        3
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        mode = "w+" if fresh else "r+"
        self._words = np.memmap(path, dtype=np.int64, mode=mode, shape=(8 + 2 * _COUNT,))

    def read(self) -> Numbers:
        """Return the numbers as they were at one moment."""
        while True:
            active = int(self._words[0])
            found = self._place(active).tolist()
            # two changes in between would have refilled the place that was read
            if int(self._words[0]) == active and self._place(active)[-1] == found[-1]:
                return Numbers(*found)

    def change(self, **values: int) -> None:
        """Change some of the numbers; the caller holds the lock."""
        now = self.read()
        new = replace(now, **values, version=now.version + 1)
        other = 1 - int(self._words[0])
        self._place(other)[:] = [getattr(new, field.name) for field in fields(new)]
        self._words[0] = other

    def _place(self, number: int) -> np.ndarray:
        start = 8 + number * _COUNT
        return self._words[start : start + _COUNT]
