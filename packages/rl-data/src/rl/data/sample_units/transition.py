"""The unit of single rows."""

from __future__ import annotations

from typing import Any

from rl.data.sample_units.base import SampleUnit
from rl.data.storages.base import Storage

__all__ = ["Transition"]


class Transition(SampleUnit):
    """Each anchor is one row; what a buffer does without a unit.

    Example:
        >>> import torch
        >>> from rl.data import LazyTensorStorage, ReplayBuffer
        >>> rb = ReplayBuffer(
        ...     storage=LazyTensorStorage(9), sample_unit=Transition(), batch_size=3
        ... )
        >>> index = rb.extend(torch.zeros(4))
        >>> rb.sample()
        tensor([0., 0., 0.])
    """

    def expand(
        self,
        index: Any,  # noqa: ANN401
        info: dict[str, Any],
        storage: Storage,
    ) -> tuple[Any, dict[str, Any]]:
        """Return `index` and `info`."""
        return index, info
