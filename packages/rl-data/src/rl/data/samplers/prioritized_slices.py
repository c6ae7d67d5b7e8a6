"""Slices of trajectories whose starts are drawn by priority (arXiv:1511.05952, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tensordict import NestedKey
from torch import Tensor

from rl.data.samplers.prioritized import PrioritizedSampler
from rl.data.samplers.slices import SliceSampler, Span
from rl.data.storages.base import Storage
from rl.data.trees.segment_tree import MinTree

__all__ = ["PrioritizedSliceSampler"]


class PrioritizedSliceSampler(SliceSampler, PrioritizedSampler):
    """Draws slices by the priorities of their first rows.

    Row `i` is first with probability `(p_i + eps)^alpha / sum_j (p_j + eps)^alpha`, where `j` goes
    over the rows after which enough follow for a slice; a row near the end of its trajectory comes
    only in slices that start before it. Each row of a slice carries the importance weight
    of its first row, `(P(i) / min_j P(j))^-beta`. Priorities are those of rows:
    `update_tensordict_priority(batch)` sets those of all rows of the slices.

    With `strict_length=False`, a trajectory shorter than a slice is drawn whole, by the priority
    of its first row. With a `span` to the right, more rows at the end can be first; with one to the
    left, a slice drawn at the first row of a trajectory starts up to that many rows before it.
    What lies outside of the trajectory is cut off.

    Args:
        max_capacity: number of elements, at least that of the storage.
        alpha: see `PrioritizedSampler`.
        beta: see `PrioritizedSampler`.
        eps: see `PrioritizedSampler`.
        dtype: see `PrioritizedSampler`.
        reduction: see `PrioritizedSampler`.
        num_slices: see `SliceSampler`.
        slice_len: see `SliceSampler`.
        end_key: see `SliceSampler`.
        end_keys: see `SliceSampler`.
        traj_key: see `SliceSampler`.
        ends: see `SliceSampler`.
        trajectories: see `SliceSampler`.
        cache_values: see `SliceSampler`.
        truncated_key: see `SliceSampler`.
        init_key: see `SliceSampler`.
        strict_length: see `SliceSampler`.
        compile: see `SliceSampler`.
        span: see `SliceSampler`.
        max_priority_within_buffer: see `PrioritizedSampler`.

    Raises:
        TypeError, ValueError: see `SliceSampler` and `PrioritizedSampler`.

    Example:
        >>> from rl.data import LazyTensorStorage, ReplayBuffer
        >>> sampler = PrioritizedSliceSampler(9, alpha=1.0, beta=1.0, slice_len=2)
        >>> rb = ReplayBuffer(storage=LazyTensorStorage(9), sampler=sampler, batch_size=4)
        >>> index = rb.extend({"x": torch.arange(6), "episode": torch.tensor([0, 0, 0, 1, 1, 1])})
        >>> rb.update_priority(index, torch.tensor([0.0, 0.0, 9.0, 0.0, 1.0, 0.0]))
        >>> rb.sample()["x"].tolist()
        [4, 5, 4, 5]
    """

    def __init__(  # noqa: PLR0913
        self,
        max_capacity: int,
        alpha: float,
        beta: float,
        eps: float = 1e-8,
        dtype: torch.dtype = torch.float32,
        reduction: str = "max",
        *,
        num_slices: int | None = None,
        slice_len: int | None = None,
        end_key: NestedKey | None = None,
        end_keys: Sequence[NestedKey] | None = None,
        traj_key: NestedKey | None = None,
        ends: Tensor | None = None,
        trajectories: Tensor | None = None,
        cache_values: bool = False,
        truncated_key: NestedKey | None = ("next", "truncated"),
        init_key: NestedKey | None = "is_init",
        strict_length: bool = True,
        compile: bool | dict[str, Any] = False,
        span: Span = False,
        max_priority_within_buffer: bool = False,
    ) -> None:
        PrioritizedSampler.__init__(
            self, max_capacity, alpha, beta, eps, dtype, reduction, max_priority_within_buffer
        )
        SliceSampler.__init__(
            self,
            num_slices=num_slices,
            slice_len=slice_len,
            end_key=end_key,
            end_keys=end_keys,
            traj_key=traj_key,
            ends=ends,
            trajectories=trajectories,
            cache_values=cache_values,
            truncated_key=truncated_key,
            init_key=init_key,
            strict_length=strict_length,
            compile=compile,
            span=span,
        )
        # the tree holds the leaves of rows at which a slice can start, `_leaves` those of all rows
        self._leaves = self._sum_tree.leaves().numpy()
        self._can_start = np.zeros(max_capacity, bool)
        self._length_of_starts = 0
        # the largest leaf is the smallest of the negated ones
        self._negated = MinTree(max_capacity, dtype) if max_priority_within_buffer else None

    @property
    def default_priority(self) -> float:
        """Leaf value of an element that was just written, `(largest priority + eps)^alpha`."""
        if self._negated is None:
            return super().default_priority
        largest = -self._negated.reduce()
        return largest if largest > 0 else (1.0 + self.eps) ** self.alpha

    # ---------------------------------------------------------------- draws

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw slices by the priorities of their first rows.

        Returns:
            The index of their rows, the entries that mark them, and `priority_weight`, `[batch]`
            float32.

        Raises:
            RuntimeError: the storage is empty, no trajectory is long enough, or no element has a
                priority.
            ValueError: the batch size is no multiple of the number or the length of slices.
            MissingKeyError: the rows tell neither ids nor ends of trajectories.
        """
        self._size(storage)
        count, length = self._shape(batch_size)
        self._refresh_starts(storage, length)
        self._eligible(length)
        if not self._sum_tree.reduce() > 0:
            raise self._nothing_to_draw()
        uniform = torch.rand(count, generator=self.generator, dtype=torch.float64)
        found, leaf = self._sum_tree.draw(uniform)
        weight = ((leaf / self._least.value()) ** -self.beta).astype(np.float32)
        first, taken = self._place_at(self._index.positions(found.numpy()), length)
        slices = self._lay_out(first, taken, length)
        told = self._marks.of(storage, slices)
        told["priority_weight"] = torch.from_numpy(weight.repeat(taken))
        return storage.unravel(slices.elements), told

    def _place_at(self, start: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return first positions and numbers of rows of the slices drawn at positions."""
        last = self._index.last_of(start)
        size = self._index.length_of(last)
        whole = np.minimum(size, length)
        begin = size - 1 - (last - start) % self._index.used
        left = np.minimum(self._sides(length)[0], whole - 1)
        if left.any():
            uniform = torch.rand(start.size, generator=self.generator, dtype=torch.float64).numpy()
            back = np.minimum((uniform * (left + 1)).astype(np.int64), left)
            begin = np.where(begin == 0, -back, begin)
        stop = np.minimum(begin + whole, size)
        begin = np.maximum(begin, 0)
        return self._index.step(last, begin - size + 1), stop - begin

    # ----------------------------------------------------- where slices start

    def _refresh_starts(self, storage: Storage, length: int) -> None:
        """Bring the trees up to date with what was written, and with the length of slices."""
        change = self._index.refresh(storage)
        if change is None or length != self._length_of_starts:
            self._length_of_starts = length
            used = np.arange(len(storage))
            self._can_start[:] = False
            self._can_start[used] = self._is_start(self._index.positions(used), length)
            leaves = torch.from_numpy(np.where(self._can_start, self._leaves, 0))
            self._sum_tree.load_leaves(leaves)
            self._least.forget()
            return
        if change.written.size == 0:
            return
        around = self._index.step(change.ends[:, None], np.arange(-length, length + 1))
        position = np.union1d(change.written, around.reshape(-1))
        element = self._index.elements(position)
        self._can_start[element] = self._is_start(position, length)
        self._store(element)

    def _is_start(self, position: np.ndarray, length: int) -> np.ndarray:
        last = self._index.last_of(position)
        size = self._index.length_of(last)
        whole = np.minimum(size, length)
        room = (last - position) % self._index.used + 1
        enough = room >= whole - np.minimum(self._sides(length)[1], whole - 1)
        return enough & (size >= self._shortest(length))

    def _store(self, element: np.ndarray) -> None:
        before = self._sum_tree.at(element)
        after = np.where(self._can_start[element], self._leaves[element], 0)
        self._sum_tree.store(element, after)
        self._least.changed(before, element, 0.0)

    # ------------------------------------------------------------- priorities

    def _set(self, position: np.ndarray, value: np.ndarray | np.float64, least: float) -> None:
        if position.size == 0:
            return
        self._leaves[position] = np.maximum(value, self._tiny)
        if self._negated is not None:
            self._negated.store(position, -self._leaves[position])
        self._store(position)
        self._version += 1

    def prepare(self, storage: Storage) -> None:
        """Take the storage whose trajectories are drawn, if the trees have room for it.

        Raises:
            ValueError: they have not.
        """
        PrioritizedSampler.prepare(self, storage)
        SliceSampler.prepare(self, storage)

    def extend(self, index: Tensor) -> None:
        """Hear that rows were written, and give them the default priority."""
        SliceSampler.extend(self, index)
        self._set(index.numpy(), np.float64(self.default_priority), 0.0)

    def mark_update(self, index: Tensor, *, storage: Storage | None = None) -> None:
        """Hear that elements were overwritten, and give them the default priority.

        Raises:
            IndexError: an element is out of range.
        """
        position = torch.as_tensor(index).reshape(-1)
        self._check_range(position.numpy(), storage)
        SliceSampler.mark_update(self, position, storage=storage)
        self._set(position.numpy(), np.float64(self.default_priority), 0.0)

    # ------------------------------------------------------------------ state

    def empty(self) -> None:
        """Forget every trajectory and priority."""
        SliceSampler.empty(self)
        PrioritizedSampler.empty(self)
        self._leaves[:] = 0
        self._can_start[:] = False
        if self._negated is not None:
            self._negated.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return priorities, exponents, and what the rows do not tell of their trajectories."""
        state = {**PrioritizedSampler.state_dict(self), **SliceSampler.state_dict(self)}
        state["leaves"] = torch.from_numpy(self._leaves.copy())
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned.

        Raises:
            ValueError: it is of another capacity or dtype.
        """
        PrioritizedSampler.load_state_dict(self, state_dict)
        SliceSampler.load_state_dict(self, state_dict)
        self._leaves = state_dict["leaves"].numpy().copy()
        if self._negated is not None:
            leaves = state_dict["leaves"]
            self._negated.load_leaves(torch.where(leaves > 0, -leaves, float("inf")))

    def __repr__(self) -> str:
        return SliceSampler.__repr__(self)
