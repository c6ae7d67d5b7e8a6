"""Epochs of slices: every trajectory once, then again in a new order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tensordict import NestedKey
from torch import Tensor

from rl.data.samplers.slices import SliceSampler

__all__ = ["SliceSamplerWithoutReplacement"]


class SliceSamplerWithoutReplacement(SliceSampler):
    """Deals one slice of each trajectory; no trajectory comes twice in a pass.

    A slice starts at a row drawn uniformly among those after which enough follow. A pass covers
    the trajectories that are long enough when it begins. Writing starts a new one, and so do
    slices of another length.

    Args:
        num_slices: see `SliceSampler`, as the arguments below that are not explained.
        slice_len: see `SliceSampler`.
        drop_last: whether a last batch of fewer slices is left out. Otherwise it is dealt, smaller.
        end_key: see `SliceSampler`.
        end_keys: see `SliceSampler`.
        traj_key: see `SliceSampler`.
        ends: see `SliceSampler`.
        trajectories: see `SliceSampler`.
        truncated_key: see `SliceSampler`.
        init_key: see `SliceSampler`.
        strict_length: see `SliceSampler`.
        shuffle: whether each pass has its own random order of trajectories; otherwise they come in
            the order of the storage.
        compile: see `SliceSampler`.
        use_gpu: see `SliceSampler`.

    Raises:
        TypeError, ValueError: see `SliceSampler`.

    Example:
        >>> from rl.data import LazyTensorStorage, ReplayBuffer
        >>> sampler = SliceSamplerWithoutReplacement(slice_len=2, shuffle=False)
        >>> rb = ReplayBuffer(storage=LazyTensorStorage(6), sampler=sampler, batch_size=4)
        >>> index = rb.extend({"episode": torch.tensor([0, 0, 1, 1, 2, 2])})
        >>> [batch["episode"].tolist() for batch in rb]
        [[0, 0, 1, 1], [2, 2]]
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        num_slices: int | None = None,
        slice_len: int | None = None,
        drop_last: bool = False,
        end_key: NestedKey | None = None,
        end_keys: Sequence[NestedKey] | None = None,
        traj_key: NestedKey | None = None,
        ends: Tensor | None = None,
        trajectories: Tensor | None = None,
        truncated_key: NestedKey | None = ("next", "truncated"),
        init_key: NestedKey | None = "is_init",
        strict_length: bool = True,
        shuffle: bool = True,
        compile: bool | dict[str, Any] = False,
        use_gpu: torch.device | bool = False,
    ) -> None:
        super().__init__(
            num_slices=num_slices,
            slice_len=slice_len,
            end_key=end_key,
            end_keys=end_keys,
            traj_key=traj_key,
            ends=ends,
            trajectories=trajectories,
            truncated_key=truncated_key,
            init_key=init_key,
            strict_length=strict_length,
            compile=compile,
            use_gpu=use_gpu,
        )
        self.drop_last = drop_last
        self.shuffle = shuffle
        self._end_pass()

    def _end_pass(self) -> None:
        self.ran_out = False
        self._order: Tensor | None = None
        self._cursor = 0
        self._least_of_pass = 0

    def _draw_trajectories(self, count: int, length: int) -> np.ndarray:
        needed = count if self.drop_last else 1
        eligible = self._eligible(length)
        if needed > eligible:
            raise ValueError(
                f"A batch has {count} slices, {eligible} trajectories are long enough, and "
                "`drop_last=True` leaves incomplete batches out. Write more first, sample fewer "
                "slices, or pass `drop_last=False`."
            )
        least = self._shortest(length)
        if self._order is None or least != self._least_of_pass or self._left() < needed:
            self._order = self._new_order(least)
            self._cursor = 0
            self._least_of_pass = least
        dealt = self._order[self._cursor : self._cursor + count]
        self._cursor += len(dealt)
        self.ran_out = self._left() < needed
        return dealt.numpy()

    def _left(self) -> int:
        return 0 if self._order is None else len(self._order) - self._cursor

    def _new_order(self, least: int) -> Tensor:
        last = torch.from_numpy(self._index.all(least))
        if self.shuffle:
            return last[torch.randperm(len(last), generator=self.generator)]
        return last

    # ---------------------------------------------------------------- hooks

    def extend(self, index: Tensor) -> None:
        """Hear that rows were written, and start a new pass at the next draw."""
        super().extend(index)
        self._end_pass()

    def mark_update(self, index: Tensor, *, storage: Any = None) -> None:  # noqa: ANN401
        """Hear that elements were overwritten, and start a new pass at the next draw."""
        super().mark_update(index, storage=storage)
        self._end_pass()

    def reread(self) -> None:
        """Hear that entries were changed in place, and start a new pass at the next draw."""
        super().reread()
        self._end_pass()

    def empty(self) -> None:
        """Forget every trajectory and the current pass."""
        super().empty()
        self._end_pass()

    def state_dict(self) -> dict[str, Any]:
        """Return the trajectories of the current pass and the position in it."""
        return {
            **super().state_dict(),
            "order": self._order,
            "cursor": self._cursor,
            "least": self._least_of_pass,
            "ran_out": self.ran_out,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        super().load_state_dict(state_dict)
        order = state_dict["order"]
        self._order = None if order is None else order.clone()
        self._cursor = int(state_dict["cursor"])
        self._least_of_pass = int(state_dict["least"])
        self.ran_out = bool(state_dict["ran_out"])
