"""Uniform sampling with replacement."""

from __future__ import annotations

from typing import Any

import torch

from rl.data.samplers.base import Sampler
from rl.data.storages.base import Storage

__all__ = ["RandomSampler"]


class RandomSampler(Sampler):
    """Draws each element with the same probability, with replacement.

    Example:
        >>> from rl.data.storages import ListStorage
        >>> storage = ListStorage(2)
        >>> storage.set(range(1), ["only"])
        >>> RandomSampler().sample(storage, 3)
        (tensor([0, 0, 0]), {})
    """

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw `batch_size` elements.

        Raises:
            RuntimeError: the storage is empty.
        """
        size = self._size(storage)
        flat = torch.randint(size, (batch_size,), generator=self.generator)
        return storage.unravel(flat), {}
