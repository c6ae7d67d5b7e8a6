"""Slices of trajectories: rows that follow each other, as sequence models train on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tensordict import NestedKey
from torch import Tensor

from rl.data.samplers.base import Sampler
from rl.data.samplers.slice_marks import SliceMarks, Slices
from rl.data.storages.base import Storage
from rl.data.trajectories.boundaries import Boundaries
from rl.data.trajectories.index import TrajectoryIndex

__all__ = ["SliceSampler"]

Span = bool | int | tuple[bool | int, bool | int]


class SliceSampler(Sampler):
    """Draws slices: `slice_len` consecutive rows of one trajectory.

    Each slice comes from a trajectory drawn uniformly among those that are long enough, and starts
    at a row drawn uniformly among those after which enough follow. The batch is flat: the rows of
    the first slice in order of time, then those of the second. `batch.reshape(num_slices, -1)`
    gives it a time dimension.

    Trajectories are told apart by ids or end flags. The newest row ends a trajectory, so that a
    slice never goes from the newest row to the oldest; the rows left of a trajectory that is being
    overwritten are one. With a storage of `ndim=2`, trajectories run along the first dimension.

    An index of trajectories follows what is written: drawing costs the same whatever is stored.

    Args:
        num_slices: number of slices in a batch; their length is the batch size over it.
        slice_len: length of a slice, instead.
        end_key: flag of last steps; `("next", "done")` by default.
        end_keys: several such flags, of which those that are stored count together.
        traj_key: trajectory ids. By default `("collector", "traj_ids")`, `"traj_ids"` or
            `"episode"` if one is stored, and `end_key` otherwise. Ids count before flags.
        ends: flags of all elements of a full buffer that is not written any more; a trajectory
            without an end at the last element goes on at the first.
        trajectories: ids of all its elements, instead.
        cache_values: accepted for compatibility: boundaries are always kept.
        truncated_key: set at the last row of each slice, with `done` beside it; None marks nothing.
        init_key: set at the first row of each slice where it is stored; None marks nothing.
        strict_length: whether trajectories shorter than a slice are left out. Otherwise they are
            drawn whole, and the batch is shorter.
        pad_output: whether slices of shorter trajectories are filled up with their last row;
            `("collector", "mask")` is false there.
        compile: accepted for compatibility: nothing is left to compile.
        span: how many rows of a slice may lie before the start (left) and after the end (right) of
            its trajectory, where they are cut off. True: all but one.
        use_gpu: accepted for compatibility: the index is on the CPU.

    Writes:
        ("next", "truncated"), ("next", "done"), ("next", "terminated"): [batch, 1] bool.
        is_init: [batch, 1] bool, if stored.
        ("collector", "mask"): [batch] bool, with `pad_output`.

    Raises:
        TypeError: not exactly one of `num_slices` and `slice_len` is given.
        ValueError: an argument is out of its range, or arguments exclude each other.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> rb = TensorDictReplayBuffer(
        ...     storage=LazyTensorStorage(100), sampler=SliceSampler(slice_len=3), batch_size=6
        ... )
        >>> episode = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
        >>> index = rb.extend(TensorDict({"x": torch.arange(8), "episode": episode}, [8]))
        >>> batch = rb.sample().reshape(2, 3)
        >>> bool((batch["x"].diff() == 1).all()), 1 in batch["episode"]
        (True, False)
    """

    def __init__(  # noqa: PLR0913
        self,
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
        pad_output: bool = False,
        compile: bool | dict[str, Any] = False,
        span: Span = False,
        use_gpu: torch.device | bool = False,
    ) -> None:
        if (num_slices is None) == (slice_len is None):
            raise TypeError(
                f"Pass `num_slices` or `slice_len`, one of the two: got {num_slices} and "
                f"{slice_len}."
            )
        for name, value in (("num_slices", num_slices), ("slice_len", slice_len)):
            if value is not None and value < 1:
                raise ValueError(f"`{name}` is {value}, expected at least 1.")
        if pad_output and strict_length:
            raise ValueError(
                "`pad_output=True` fills slices of short trajectories, which `strict_length=True` "
                "leaves out. Pass `strict_length=False` too."
            )
        self.num_slices = num_slices
        self.slice_len = slice_len
        self.strict_length = strict_length
        self.pad_output = pad_output
        self.span = _both_sides(span)
        self._marks = SliceMarks(truncated_key, init_key)
        self._index = TrajectoryIndex(Boundaries(traj_key, end_key, end_keys, ends, trajectories))
        self._storage: Storage | None = None

    # ---------------------------------------------------------------- hooks

    def prepare(self, storage: Storage) -> None:
        """Take the storage whose trajectories are drawn."""
        if storage is not self._storage:
            self._storage = storage
            self._index.reset(storage.newest)

    def extend(self, index: Tensor) -> None:
        """Hear that rows were written."""
        if self._storage is not None:
            self._index.extend(self._storage, index.numpy())

    def mark_update(self, index: Tensor, *, storage: Storage | None = None) -> None:
        """Hear that elements were overwritten in place."""
        if self._storage is not None:
            self._index.mark(self._storage, torch.as_tensor(index).reshape(-1).numpy())

    def reread(self) -> None:
        """Hear that entries of any elements were changed in place."""
        self._index.reread()

    def empty(self) -> None:
        """Forget every trajectory."""
        self._index.reset()

    # ---------------------------------------------------------------- draws

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw slices.

        Returns:
            The index of their rows, and the entries that mark them.

        Raises:
            RuntimeError: the storage is empty, or no trajectory is long enough.
            ValueError: the batch size is no multiple of the number or the length of slices.
            MissingKeyError: the rows tell neither ids nor ends of trajectories.
        """
        self._size(storage)
        count, length = self._shape(batch_size)
        self._refresh(storage)
        last = self._draw_trajectories(count, length)
        first, taken = self._place(last, length)
        slices = self._lay_out(first, taken, length)
        return storage.unravel(slices.elements), self._marks.of(storage, slices)

    def _refresh(self, storage: Storage) -> None:
        self._index.refresh(storage)

    def _draw_trajectories(self, count: int, length: int) -> np.ndarray:
        """Return the last positions of `count` trajectories."""
        eligible = self._eligible(length)
        rank = torch.randint(eligible, (count,), generator=self.generator)
        return self._index.select(rank.numpy(), self._shortest(length))

    def _shortest(self, length: int) -> int:
        """Return how long a trajectory must be."""
        return length if self.strict_length else 1

    def _eligible(self, length: int) -> int:
        eligible = self._index.count(self._shortest(length))
        if eligible == 0:
            raise RuntimeError(
                f"No trajectory is long enough: slices have {length} rows, the longest stored "
                f"trajectory {self._index.longest()}. Sample shorter slices, write more first, or "
                "pass `strict_length=False`."
            )
        return eligible

    def _place(self, last: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw where slices start in their trajectories.

        Returns:
            [k] first positions, and [k] numbers of rows.
        """
        size = self._index.length_of(last)
        whole = np.minimum(size, length)
        left, right = (np.minimum(side, whole - 1) for side in self._sides(length))
        choices = size - whole + left + right + 1
        uniform = torch.rand(last.size, generator=self.generator, dtype=torch.float64).numpy()
        start = np.minimum((uniform * choices).astype(np.int64), choices - 1) - left
        stop = np.minimum(start + whole, size)
        start = np.maximum(start, 0)
        return self._index.step(last, start - size + 1), stop - start

    def _sides(self, length: int) -> tuple[int, int]:
        left, right = (length - 1 if side is True else int(side) for side in self.span)
        return left, right

    def _lay_out(self, first: np.ndarray, taken: np.ndarray, length: int) -> Slices:
        """Return the rows of slices, given first positions and numbers of rows."""
        offset = np.arange(length)
        whole = bool((taken == length).all())
        inside = None if whole else offset < taken[:, None]
        if whole or self.pad_output:
            begin = np.arange(taken.size) * length
            position = self._index.step(first[:, None], np.minimum(offset, taken[:, None] - 1))
            position = position.reshape(-1)
        else:
            begin = taken.cumsum() - taken
            position = self._index.step(first[:, None], offset)[inside]
        mask = None
        if self.pad_output:
            mask = np.ones(position.shape, bool) if inside is None else inside.reshape(-1)
            mask = torch.from_numpy(mask)
        return Slices(
            torch.from_numpy(self._index.elements(position)),
            torch.from_numpy(begin),
            torch.from_numpy(begin + taken - 1),
            mask,
        )

    def _shape(self, batch_size: int) -> tuple[int, int]:
        """Return number and length of slices."""
        if self.num_slices is not None:
            parts, name = self.num_slices, "num_slices"
        else:
            parts, name = self.slice_len, "slice_len"
        other, rest = divmod(batch_size, parts)
        if rest:
            raise ValueError(
                f"The batch size is {batch_size}, which is no multiple of `{name}={parts}`. Sample "
                f"{(other or 1) * parts} or {(other + 1) * parts} rows."
            )
        return (parts, other) if name == "num_slices" else (other, parts)

    # ---------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """Return what the rows do not tell of their trajectories."""
        return {"trajectories": self._index.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        self._index.load_state_dict(state_dict["trajectories"])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_slices={self.num_slices}, slice_len={self.slice_len}, "
            f"strict_length={self.strict_length})"
        )


def _both_sides(span: Span) -> tuple[bool | int, bool | int]:
    sides = span if isinstance(span, tuple) else (span, span)
    if len(sides) != 2 or any(int(side) < 0 for side in sides):
        raise ValueError(
            f"`span` is {span!r}, expected a bool, a number of rows of at least 0, or a pair."
        )
    return sides
