"""Epochs: every element once, then again in a new order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rl.data.samplers.base import Sampler
from rl.data.storages.base import Storage

__all__ = ["SamplerWithoutReplacement"]


class SamplerWithoutReplacement(Sampler):
    """Deals the elements out in batches; no element comes twice in a pass.

    A pass covers the elements that the storage held when it began. Writing starts a new one.

    Args:
        drop_last: whether an incomplete last batch is left out. Otherwise it is dealt, smaller.
        shuffle: whether each pass has its own random order.

    Example:
        >>> from rl.data.storages import ListStorage
        >>> storage = ListStorage(5)
        >>> storage.set(range(5), list("abcde"))
        >>> sampler = SamplerWithoutReplacement(shuffle=False)
        >>> [sampler.sample(storage, 2)[0].tolist() for _ in range(4)]
        [[0, 1], [2, 3], [4], [0, 1]]
    """

    def __init__(self, drop_last: bool = False, shuffle: bool = True) -> None:
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.ran_out = False
        self._order: Tensor | None = None
        self._cursor = 0

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Deal the next batch.

        Raises:
            RuntimeError: the storage is empty.
            ValueError: with `drop_last`, the storage holds less than a batch.
        """
        size = self._size(storage)
        if self.drop_last and batch_size > size:
            raise ValueError(
                f"The batch size is {batch_size}, the buffer holds {size} elements, and "
                "`drop_last=True` leaves incomplete batches out. Write more first, sample smaller "
                "batches, or pass `drop_last=False`."
            )
        if self._order is None or self._left() < (batch_size if self.drop_last else 1):
            self._order = self._new_order(size)
            self._cursor = 0
        flat = self._order[self._cursor : self._cursor + batch_size]
        self._cursor += len(flat)
        self.ran_out = self._left() < (batch_size if self.drop_last else 1)
        return storage.unravel(flat), {}

    def _left(self) -> int:
        return 0 if self._order is None else len(self._order) - self._cursor

    def _new_order(self, size: int) -> Tensor:
        if self.shuffle:
            return torch.randperm(size, generator=self.generator)
        return torch.arange(size)

    def extend(self, index: Tensor) -> None:
        """Start a new pass at the next draw, so that it covers what was written."""
        self.empty()

    def empty(self) -> None:
        """Forget the current pass."""
        self._order = None
        self._cursor = 0
        self.ran_out = False

    def state_dict(self) -> dict[str, Any]:
        """Return the order of the current pass and the position in it."""
        return {"order": self._order, "cursor": self._cursor, "ran_out": self.ran_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        order = state_dict["order"]
        self._order = None if order is None else order.clone()
        self._cursor = int(state_dict["cursor"])
        self.ran_out = bool(state_dict["ran_out"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(drop_last={self.drop_last}, shuffle={self.shuffle})"
