"""Slices of trajectories that come one after the other, as from a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from tensordict import TensorDictBase, pad

from rl.core.errors import ShapeError

__all__ = ["TrajectorySlices"]

_MASK = ("collector", "mask")


@dataclass
class TrajectorySlices:
    """Makes batches of the trajectories that `restart` yields.

    Args:
        restart: begins a pass over the trajectories, each `[n, ...]`.
        num_slices: number of slices in a batch.
        slice_len: length of a slice, in place of `num_slices`.
        pad: value that fills slices of trajectories that are too short; None raises.

    Example:
        >>> from tensordict import TensorDict
        >>> pass_ = lambda: iter([TensorDict({"x": torch.arange(3)}, [3])])
        >>> TrajectorySlices(pass_, slice_len=3).next(3)["x"]
        tensor([0, 1, 2])
    """

    restart: Callable[[], Iterator[TensorDictBase]]
    num_slices: int | None = None
    slice_len: int | None = None
    pad: float | None = None

    def __post_init__(self) -> None:
        self._trajectories: Iterator[TensorDictBase] | None = None

    def next(
        self, batch_size: int | None, generator: torch.Generator | None = None
    ) -> TensorDictBase | None:
        """Return a batch from the next trajectories, None at the end of a pass.

        Without slices and batch size it is a whole trajectory; with a batch size only, one slice of
        a trajectory. Trajectories that do not fill a batch at the end of a pass are left out.

        Raises:
            ValueError: the batch size is no multiple of the slices.
            ShapeError: a trajectory is shorter than a slice, and there is no padding.
        """
        count, length = self._sizes(batch_size)
        if self._trajectories is None:
            self._trajectories = self.restart()
        slices = []
        for _ in range(count):
            trajectory = next(self._trajectories, None)
            if trajectory is None:
                self._trajectories = None
                return None
            slices.append(self._slice(trajectory, length, generator))
        return slices[0] if count == 1 else torch.cat(slices)

    def _sizes(self, batch_size: int | None) -> tuple[int, int | None]:
        """Return how many slices there are, and how long (None: whole trajectories)."""
        if self.slice_len is not None:
            if batch_size is None:
                return 1, self.slice_len
            self._check_multiple(batch_size, "slice_len", self.slice_len)
            return batch_size // self.slice_len, self.slice_len
        if batch_size is None:
            return self.num_slices or 1, None
        count = self.num_slices or 1
        self._check_multiple(batch_size, "num_slices", count)
        return count, batch_size // count

    def _check_multiple(self, batch_size: int, name: str, part: int) -> None:
        if batch_size % part:
            raise ValueError(
                f"The batch size is {batch_size}, expected a multiple of `{name}`, which is {part}."
            )

    def _slice(
        self, trajectory: TensorDictBase, length: int | None, generator: torch.Generator | None
    ) -> TensorDictBase:
        have = len(trajectory)
        if length is None or have == length:
            return trajectory
        if have < length:
            if self.pad is None:
                raise ShapeError(
                    f"A trajectory has {have} steps, a slice {length}. Pass `pad=0`, or shorter "
                    "slices."
                )
            trajectory = trajectory.clone()
            trajectory.set(_MASK, torch.ones(have, dtype=torch.bool))
            padded = pad(trajectory, [0, length - have], value=self.pad)
            padded[_MASK][have:] = False
            return padded
        start = int(torch.randint(have - length + 1, (), generator=generator))
        return trajectory[start : start + length]
