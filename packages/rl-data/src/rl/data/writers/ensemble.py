"""The writers of an ensemble of buffers."""

from __future__ import annotations

from typing import Any, NoReturn

from rl.data.storages.base import Storage
from rl.data.writers.base import Writer

__all__ = ["WriterEnsemble"]


class WriterEnsemble(Writer):
    """The writers of the members of a `ReplayBufferEnsemble`, which are written one by one.

    Args:
        *writers: one per member.

    Example:
        >>> from rl.data import RoundRobinWriter
        >>> WriterEnsemble(RoundRobinWriter(), RoundRobinWriter()).add({"x": 1})
        Traceback (most recent call last):
        ...
        RuntimeError: An ensemble is written through its members: `ensemble[i].extend(...)`.
    """

    def __init__(self, *writers: Writer) -> None:
        super().__init__()
        self.writers = writers

    def __getitem__(self, index: int) -> Writer:
        return self.writers[index]

    def __len__(self) -> int:
        return len(self.writers)

    def register_storage(self, storage: Storage) -> None:
        """Do nothing: each writer has the storage of its member."""

    def add(self, data: Any) -> NoReturn:  # noqa: ANN401
        """Raise a `RuntimeError`."""
        self._refuse()

    def extend(self, data: Any) -> NoReturn:  # noqa: ANN401
        """Raise a `RuntimeError`."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError("An ensemble is written through its members: `ensemble[i].extend(...)`.")

    def empty(self, empty_write_count: bool = True) -> None:
        """Tell every writer that its storage was emptied."""
        for writer in self.writers:
            writer.empty(empty_write_count)

    @property
    def write_count(self) -> int:
        """Number of rows written to all members."""
        return sum(writer.write_count for writer in self.writers)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every writer."""
        return {"writers": [writer.state_dict() for writer in self.writers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        for writer, state in zip(self.writers, state_dict["writers"], strict=True):
            writer.load_state_dict(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.writers))})"
