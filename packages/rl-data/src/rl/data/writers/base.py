"""The writer interface: where new rows go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from rl.data.storages.base import Storage

__all__ = ["Writer"]


class Writer(ABC):
    """Chooses the rows that new data take.

    Attributes:
        writes_index: whether the buffer notes the element numbers in TensorDict samples.
        keeps_all: whether every row that is given is written.
        tracks_generations: whether `generations_of` tells how often elements were replaced.

    Example:
        >>> from rl.data import ListStorage, ReplayBuffer, Writer
        >>> class First(Writer):
        ...     def add(self, data):
        ...         self.storage.set(0, data)
        ...         return torch.tensor([0])
        ...
        ...     def extend(self, data):
        ...         return self.add(data[-1])
        >>> rb = ReplayBuffer(storage=ListStorage(9), writer=First())
        >>> rb.extend(["a", "b"]), rb[:]
        (tensor([0]), ['b'])
    """

    writes_index: bool = False
    keeps_all: bool = True
    tracks_generations: bool = False

    def __init__(self) -> None:
        self._storage: Storage | None = None

    def register_storage(self, storage: Storage) -> None:
        """Tell the writer which storage it writes to."""
        self._storage = storage
        storage.follow(self)

    @property
    def storage(self) -> Storage:
        """The storage that is written.

        Raises:
            RuntimeError: no storage was registered.
        """
        if self._storage is None:
            raise RuntimeError("The writer has no storage: give it to a buffer first.")
        return self._storage

    @abstractmethod
    def add(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write one row and return the numbers of its elements, `[elements per row]`.

        A row that is not kept has the number -1.
        """

    @abstractmethod
    def extend(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write a batch of rows and return the numbers of its elements, in their order.

        Rows that are not kept have the number -1.
        """

    def empty(self, empty_write_count: bool = True) -> None:  # noqa: B027 (optional)
        """Hear that the storage was emptied."""

    def reread(self) -> None:  # noqa: B027 (optional)
        """Hear that entries of any rows were changed in place."""

    def restart(self, rows: int) -> None:  # noqa: B027 (optional)
        """Hear that the storage was replaced by one that holds `rows` rows."""

    @property
    def write_count(self) -> int:
        """Number of rows written since the storage was last emptied."""
        return 0

    @property
    def newest(self) -> int | None:
        """The row that was written last, None if it is unknown or there is none."""
        return None

    def generations_of(self, index: Tensor) -> Tensor:
        """Return how often elements were replaced since they were first written, `[n]`.

        Raises:
            RuntimeError: the writer does not count.
        """
        raise RuntimeError(
            f"`{type(self).__name__}` does not track generations. Build it with "
            "`track_generations=True` (`RoundRobinWriter`, `TensorDictRoundRobinWriter`)."
        )

    def reuse_rows_of(self, sampler: Any) -> None:  # noqa: ANN401 (a `ConsumingSampler`)
        """Write to the rows that `sampler` has used up before others; to none if it is None.

        Raises:
            ValueError: the writer cannot.
        """
        if sampler is not None:
            raise ValueError(
                f"`{type(sampler).__name__}` needs a `RoundRobinWriter`, which writes to the rows "
                f"that were used up; given a `{type(self).__name__}`."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return all that later writes depend on."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: B027 (optional)
        """Take the state that `state_dict` returned."""

    def elements_of(self, rows: Tensor) -> Tensor:
        """Return the numbers of all elements of the rows."""
        inner = self.storage.inner_size
        if inner == 1:
            return rows
        return (rows[:, None] * inner + torch.arange(inner)).reshape(-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
