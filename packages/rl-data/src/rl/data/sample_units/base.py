"""The interface of sample units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from rl.data.storages.base import Storage

__all__ = ["SampleUnit"]


class SampleUnit(ABC):
    """Turns the elements that a sampler drew, the anchors, into the rows of a batch.

    A buffer asks its unit after its sampler and before its storage, under its lock. What `expand`
    adds to the information of a draw is part of samples that are TensorDicts.

    Example:
        >>> import torch
        >>> from rl.data import ReplayBuffer, SampleUnit
        >>> class Twice(SampleUnit):
        ...     def expand(self, index, info, storage):
        ...         return index.repeat_interleave(2), info
        >>> rb = ReplayBuffer(sample_unit=Twice(), batch_size=2)
        >>> rows = rb.extend(["a"])
        >>> rb.sample()
        ['a', 'a', 'a', 'a']
    """

    @abstractmethod
    def expand(
        self,
        index: Any,  # noqa: ANN401
        info: dict[str, Any],
        storage: Storage,
    ) -> tuple[Any, dict[str, Any]]:
        """Return the index of the rows of a batch, and the information that goes with it.

        Args:
            index: the anchors, as the sampler gave them: a tensor of element numbers, or one tensor
                per dimension of the storage.
            info: what the sampler tells of them. What it tells per anchor must be told per row.
            storage: where the rows are; it must not be written.
        """
