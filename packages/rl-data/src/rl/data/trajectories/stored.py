"""The trajectories in a storage."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from tensordict import NestedKey, TensorDictBase, is_tensor_collection

from rl.core.errors import SpecError
from rl.data.storages.base import Storage
from rl.data.trajectories.trajectory import Trajectory, iter_trajectories

__all__ = ["stored_trajectories"]


def stored_trajectories(
    storage: Storage, trajectory_key: NestedKey | None = None
) -> Iterator[Trajectory]:
    """Yield copies of the trajectories that are stored, the oldest first, env by env.

    One that was written across the end of a full storage is whole; the oldest may have lost its
    first steps.

    Args:
        storage: whose rows are TensorDicts.
        trajectory_key: see `iter_trajectories`.

    Raises:
        SpecError: the rows are not TensorDicts.
        MissingKeyError: the rows have neither ids nor flags.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage
        >>> storage = LazyTensorStorage(9)
        >>> storage.set(range(3), TensorDict({"episode": torch.tensor([0, 0, 1])}, [3]))
        >>> [piece.length for piece in stored_trajectories(storage)]
        [2, 1]
    """
    used, inner = storage.num_rows, storage.inner_size
    newest = storage.newest
    oldest = 0 if newest is None or not used else (newest + 1) % used
    rows = (torch.arange(used) + oldest) % max(used, 1)
    for column in range(inner if used else 0):
        yield from iter_trajectories(_steps(storage, rows * inner + column), trajectory_key)


def _steps(storage: Storage, elements: torch.Tensor) -> TensorDictBase:
    steps = storage.get(storage.unravel(elements))
    if isinstance(steps, list) and all(map(is_tensor_collection, steps)):
        steps = torch.stack(steps)
    if not is_tensor_collection(steps):
        raise SpecError("Trajectories are read from rows that are TensorDicts: write those.")
    return steps
