"""Keeping the best: a new row replaces the one that ranks lowest."""

from __future__ import annotations

import heapq
from typing import Any

import torch
from tensordict import is_tensor_collection
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.errors import MissingKeyError, SpecError
from rl.data.storages.base import Storage
from rl.data.writers.base import Writer

__all__ = ["TensorDictMaxValueWriter"]

_REDUCTIONS = {
    "sum": lambda rank: rank.sum(1),
    "mean": lambda rank: rank.mean(1),
    "max": lambda rank: rank.amax(1),
    "min": lambda rank: rank.amin(1),
    "median": lambda rank: rank.median(1).values,
}


class TensorDictMaxValueWriter(Writer):
    """Keeps the rows with the highest ranks; the others are dropped.

    While there is room every row is kept. Then a row replaces the lowest one if it ranks higher.
    Rows that are not kept have the index -1. Any number of rows may be written at once.

    Args:
        rank_key: entry that ranks rows, `("next", "reward")` by default. A row that is a whole
            trajectory, `[T, ...]`, ranks by the reduction of its entry.
        reduction: how further dimensions become one rank: `"sum"`, `"mean"`, `"max"`, `"min"` or
            `"median"`.

    Reads:
        rank_key: [*B, ...] numbers.

    Raises:
        ValueError: `reduction` is unknown.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> rb = TensorDictReplayBuffer(
        ...     storage=LazyTensorStorage(2), writer=TensorDictMaxValueWriter("score")
        ... )
        >>> rb.extend(TensorDict({"score": torch.tensor([1.0, 3.0, 2.0, 0.0])}, [4]))
        tensor([-1,  1,  0, -1])
        >>> rb[:]["score"]
        tensor([2., 3.])
    """

    writes_index = True
    keeps_all = False

    def __init__(self, rank_key: NestedKey | None = None, reduction: str = "sum") -> None:
        super().__init__()
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"`reduction` is {reduction!r}, expected one of {sorted(_REDUCTIONS)}."
            )
        self.rank_key = ("next", "reward") if rank_key is None else rank_key
        self.reduction = reduction
        self._write_count = 0
        # (rank, row), the lowest first
        self._heap: list[tuple[float, int]] = []

    def register_storage(self, storage: Storage) -> None:
        """Tell the writer which storage it writes to.

        Raises:
            ValueError: the storage numbers several dimensions.
        """
        if storage.ndim > 1:
            raise ValueError(
                f"The storage has ndim={storage.ndim}: its rows overlap trajectories, which then "
                "have no rank. Use `ndim=1` and let a row be a whole trajectory."
            )
        super().register_storage(storage)

    @property
    def write_count(self) -> int:
        """Number of rows given since the storage was last emptied, kept or not."""
        return self._write_count

    def add(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write one row if it ranks high enough."""
        if not is_tensor_collection(data):
            raise self._wrong_kind(data)
        return self.extend(data.unsqueeze(0))

    def extend(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write the rows that rank high enough.

        Returns:
            `[n]`, -1 for rows that are not kept.

        Raises:
            TypeError: the rows are not in a TensorDict.
            MissingKeyError: they have no `rank_key`.
            SpecError: a rank is NaN.
        """
        ranks = self._ranks(data)
        heap = self._heap.copy()
        given: dict[int, int] = {}
        for number, rank in enumerate(ranks.tolist()):
            if len(heap) < self.storage.max_rows:
                row = len(heap)
                heapq.heappush(heap, (rank, row))
            elif rank > heap[0][0]:
                row = heapq.heapreplace(heap, (rank, heap[0][1]))[1]
            else:
                continue
            given[row] = number  # of two rows for one place the later one won
        rows = torch.tensor(sorted(given), dtype=torch.int64)
        numbers = torch.tensor([given[row] for row in sorted(given)], dtype=torch.int64)
        if len(rows):
            self.storage.set(rows, data[numbers])
        self._heap = heap
        self._write_count += len(ranks)
        elements = torch.full((len(ranks),), -1, dtype=torch.int64)
        elements[numbers] = rows
        return elements

    def _ranks(self, data: Any) -> Tensor:  # noqa: ANN401
        if not is_tensor_collection(data):
            raise self._wrong_kind(data)
        rank = data.get(self.rank_key, None)
        if rank is None:
            raise MissingKeyError(
                f"`{self.rank_key}` is missing in the rows to rank, whose keys are "
                f"{sorted(map(str, data.keys(True, True)))}. Pass `rank_key=...`."
            )
        count = self.storage.rows_of(data)
        if not count:
            return torch.empty(0, dtype=torch.float64)
        flat = rank.detach().to("cpu", torch.float64).reshape(count, -1)
        reduced = _REDUCTIONS[self.reduction](flat)
        if reduced.isnan().any():
            raise SpecError(
                f"`{self.rank_key}` ranks a row NaN, which is neither high nor low. Look for NaN "
                "in the data."
            )
        return reduced

    def _wrong_kind(self, data: object) -> TypeError:
        return TypeError(
            f"`{type(self).__name__}` ranks rows of TensorDicts, got a {type(data).__qualname__}."
        )

    def reread(self) -> None:
        """Rank the rows by what they are now."""
        rows = self.storage[:]
        rows = torch.stack(rows) if isinstance(rows, list) else rows
        self._heap = [(rank, row) for row, rank in enumerate(self._ranks(rows).tolist())]
        heapq.heapify(self._heap)

    def restart(self, rows: int) -> None:
        """Rank the rows that the storage holds."""
        self._heap = []
        self._write_count = rows
        if rows:
            self.reread()

    def empty(self, empty_write_count: bool = True) -> None:
        """Forget every rank."""
        self._heap = []
        if empty_write_count:
            self._write_count = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the ranks and the number of rows given."""
        return {
            "ranks": torch.tensor([rank for rank, _ in self._heap], dtype=torch.float64),
            "rows": torch.tensor([row for _, row in self._heap], dtype=torch.int64),
            "write_count": self._write_count,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        ranks, rows = state_dict["ranks"].tolist(), state_dict["rows"].tolist()
        self._heap = list(zip(ranks, rows, strict=True))
        self._write_count = int(state_dict["write_count"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank_key={self.rank_key!r}, reduction={self.reduction!r})"
