"""What a slice says of itself: where it starts and ends, and which of its rows are padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey
from torch import Tensor

from rl.core.contract.keys import sibling, unravel_key
from rl.data.storages.base import Storage

__all__ = ["SliceMarks", "Slices"]

MASK_KEY = ("collector", "mask")


@dataclass(frozen=True, slots=True)
class Slices:
    """Rows of a batch of slices, one slice after the other."""

    #: [n] int64 element numbers
    elements: Tensor
    #: [k] int64, places in the batch of the first rows of the slices
    first: Tensor
    #: [k] int64, places of the last rows, padding aside
    last: Tensor
    #: [n] bool, false at padding; None if there is none
    mask: Tensor | None


class SliceMarks:
    """Marks the last row of each slice as truncated and done, and the first as initial.

    The marks are entries of the sample, not of the storage. Flags that are stored stay set.

    Args:
        truncated_key: the truncation flag; `done` and `terminated` beside it are marked too. None
            leaves the ends unmarked.
        init_key: flag of first steps, marked where it is stored. None leaves it as it is stored.

    Example:
        >>> from rl.data.storages.tensor_storage import TensorStorage
        >>> storage = TensorStorage({"is_init": torch.zeros(9, 1, dtype=torch.bool)})
        >>> rows, place = torch.arange(4, 7), torch.tensor([0, 2])
        >>> told = SliceMarks().of(storage, Slices(rows, place[:1], place[1:], None))
        >>> told["is_init"].flatten().tolist(), told["next", "done"].flatten().tolist()
        ([True, False, False], [False, False, True])
    """

    def __init__(
        self,
        truncated_key: NestedKey | None = ("next", "truncated"),
        init_key: NestedKey | None = "is_init",
    ) -> None:
        self.truncated_key = None if truncated_key is None else unravel_key(truncated_key)
        self.init_key = None if init_key is None else unravel_key(init_key)

    def of(self, storage: Storage, slices: Slices) -> dict[Any, Tensor]:
        """Return the entries that mark the slices, `[n, 1]` bool or shaped as stored."""
        told: dict[Any, Tensor] = {}
        if self.truncated_key is not None:
            told = self._ends(storage, slices, self.truncated_key)
        if slices.mask is not None:
            told[MASK_KEY] = slices.mask
        if self.init_key is not None:
            init = storage.entry(self.init_key, slices.elements)
            if init is not None:
                init[slices.first] = True
                told[self.init_key] = init
        return told

    def _ends(self, storage: Storage, slices: Slices, key: NestedKey) -> dict[Any, Tensor]:
        rows = slices.elements
        stored = {name: storage.entry(sibling(key, name), rows) for name in ("done", "terminated")}
        shape = (len(rows), 1) if stored["done"] is None else stored["done"].shape
        truncated = storage.entry(key, rows)
        if truncated is None:
            truncated = torch.zeros(shape, dtype=torch.bool)
        if slices.mask is not None:
            truncated[~slices.mask] = False
        truncated[slices.last] = True
        empty = torch.zeros_like(truncated)
        done, terminated = (empty if flag is None else flag for flag in stored.values())
        return {
            key: truncated,
            sibling(key, "done"): done | truncated,
            sibling(key, "terminated"): terminated,
        }
