"""The sampler interface: which elements a batch holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from rl.data.storages.base import Storage

__all__ = ["Sampler"]


class Sampler(ABC):
    """Draws element numbers; the buffer tells it what is written.

    Subclasses write `sample`. Those with a state of their own keep it in attributes that they
    replace rather than change in place, so that a draw ahead of time can be taken back.

    Attributes:
        ran_out: whether the last batch ended a pass over the data; iteration over a buffer stops
            there. Always False for samplers that draw with replacement.
        uses_priority: whether `update_priority` has an effect.
        consumes: whether drawing uses elements up, which the writer then writes again.
        generator: source of random numbers; the global one of torch if None.

    Example:
        >>> from rl.data import LazyTensorStorage, ReplayBuffer, Sampler
        >>> class Newest(Sampler):
        ...     def sample(self, storage, batch_size):
        ...         return torch.arange(len(storage))[-batch_size:], {}
        >>> rb = ReplayBuffer(storage=LazyTensorStorage(9), sampler=Newest(), batch_size=2)
        >>> index = rb.extend(torch.arange(5))
        >>> rb.sample()
        tensor([3, 4])
    """

    ran_out: bool = False
    uses_priority: bool = False
    consumes: bool = False
    generator: torch.Generator | None = None

    @abstractmethod
    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw a batch.

        Returns:
            An index for `storage.get`, and what samples get to know about the draw.

        Raises:
            RuntimeError: the storage is empty.
        """

    def prepare(self, storage: Storage) -> None:  # noqa: B027 (optional)
        """Check that the sampler can serve `storage`; called when a buffer takes both.

        Raises:
            ValueError: it cannot.
        """

    def available(self, storage: Storage) -> int:
        """Return how many elements can be drawn."""
        return len(storage)

    def add(self, index: Tensor) -> None:
        """Hear that one element was written."""
        self.extend(index)

    def extend(self, index: Tensor) -> None:  # noqa: B027 (optional)
        """Hear that elements, a one-dimensional tensor of numbers, were written."""

    def update_priority(  # noqa: B027 (optional)
        self, index: Tensor, priority: Tensor | float, *, storage: Storage | None = None
    ) -> None:
        """Take new priorities; samplers without priorities ignore them."""

    def check_priority(self, priority: Tensor | float, count: int) -> None:  # noqa: B027 (optional)
        """Raise what `update_priority` would raise for these priorities of `count` elements."""

    def mark_update(self, index: Tensor, *, storage: Storage | None = None) -> None:  # noqa: B027 (optional)
        """Hear that elements were overwritten in place."""

    def reread(self) -> None:  # noqa: B027 (optional)
        """Hear that entries of any elements were changed in place; their priorities stay."""

    @property
    def default_priority(self) -> float:
        """Priority of an element that was just written."""
        return 1.0

    def empty(self) -> None:  # noqa: B027 (optional)
        """Hear that the storage was emptied."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that later draws depend on, the generator aside."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: B027 (optional)
        """Take the state that `state_dict` returned."""

    def snapshot(self) -> dict[str, Any]:
        """Return what `restore` needs to undo later draws."""
        return dict(vars(self))

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Undo every draw since `snapshot`."""
        vars(self).clear()
        vars(self).update(snapshot)

    def _size(self, storage: Storage) -> int:
        size = len(storage)
        if size == 0:
            raise RuntimeError("The buffer is empty: write with `add` or `extend` before sampling.")
        return size

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
