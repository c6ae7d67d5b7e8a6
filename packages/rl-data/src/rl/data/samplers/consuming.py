"""Using data up: an element is drawn a number of times and is then gone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rl.data.samplers.base import Sampler
from rl.data.storages.base import Storage

__all__ = ["ConsumingSampler"]


class ConsumingSampler(Sampler):
    """Draws without replacement, and each element `max_sample_count` times before it is used up.

    What is used up is drawn no more until it is written again, and a `RoundRobinWriter` writes
    there first. When fewer elements are left than a batch has, the batch is smaller. `len(buffer)`
    counts the elements that are left.

    Args:
        max_sample_count: number of times that an element is drawn.

    Raises:
        ValueError: `max_sample_count` is not positive.

    Example:
        >>> from rl.data import ListStorage, ReplayBuffer
        >>> rb = ReplayBuffer(storage=ListStorage(10), sampler=ConsumingSampler(), batch_size=3)
        >>> index = rb.extend([0, 1, 2, 3])
        >>> len(rb.sample()), len(rb), len(rb.sample()), len(rb)
        (3, 1, 1, 0)
    """

    consumes = True

    def __init__(self, max_sample_count: int = 1) -> None:
        if max_sample_count <= 0:
            raise ValueError(f"`max_sample_count` is {max_sample_count}, expected at least 1.")
        self.max_sample_count = int(max_sample_count)
        self._counts = torch.empty(0, dtype=torch.int64)
        self._used_up = torch.empty(0, dtype=torch.int64)

    def prepare(self, storage: Storage) -> None:
        """Check that the storage numbers one dimension.

        Raises:
            ValueError: it numbers more.
        """
        if storage.ndim > 1:
            raise ValueError(
                f"The storage has ndim={storage.ndim}; rows are used up whole. Use `ndim=1`."
            )
        self._grow(len(storage))

    def _grow(self, size: int) -> None:
        missing = size - len(self._counts)
        if missing > 0:
            self._counts = torch.cat([self._counts, torch.zeros(missing, dtype=torch.int64)])

    def available(self, storage: Storage) -> int:
        """Return how many elements are not used up."""
        return len(storage) - len(self._used_up)

    def used_up(self) -> Tensor:
        """Return the numbers of the elements that are used up, the earliest first."""
        return self._used_up

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw `batch_size` elements, or those that are left.

        Raises:
            RuntimeError: nothing is left.
        """
        size = self._size(storage)
        self._grow(size)
        left = (self._counts[:size] < self.max_sample_count).nonzero()[:, 0]
        if not len(left):
            raise RuntimeError(
                f"The buffer is empty: all {size} elements were drawn {self.max_sample_count} "
                "times. Write more, or wait until `rb.can_sample()`."
            )
        drawn = left[torch.randperm(len(left), generator=self.generator)[:batch_size]]
        self._counts = self._counts.index_add(0, drawn, torch.ones_like(drawn))
        gone = drawn[self._counts[drawn] >= self.max_sample_count]
        self._used_up = torch.cat([self._used_up, gone])
        return drawn, {}

    def extend(self, index: Tensor) -> None:
        """Make elements that were written new."""
        if not len(index):
            return
        self._grow(int(index.max()) + 1)
        self._counts = self._counts.index_fill(0, index, 0)
        if len(self._used_up):
            self._used_up = self._used_up[~torch.isin(self._used_up, index)]

    def mark_update(self, index: Tensor, *, storage: Storage | None = None) -> None:
        """Make elements that were overwritten new."""
        self.extend(torch.as_tensor(index).reshape(-1))

    def empty(self) -> None:
        """Forget every count."""
        self._counts = torch.empty(0, dtype=torch.int64)
        self._used_up = torch.empty(0, dtype=torch.int64)

    def state_dict(self) -> dict[str, Any]:
        """Return how often each element was drawn."""
        return {"counts": self._counts, "used_up": self._used_up}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        self._counts = state_dict["counts"].clone()
        self._used_up = state_dict["used_up"].clone()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_sample_count={self.max_sample_count})"
