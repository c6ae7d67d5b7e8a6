"""The trajectories in a flat batch of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor

from rl.core.contract.keys import in_next
from rl.core.errors import MissingKeyError, ShapeError
from rl.data.trajectories.boundaries import DEFAULT_DONE_KEYS, DEFAULT_TRAJECTORY_KEYS
from rl.data.trajectories.find import find_start_stop_traj

__all__ = ["Trajectory", "filter_trajectories", "iter_trajectories"]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The steps of one trajectory; `trajectory.reward` is `trajectory.get("reward")`.

    Attributes:
        data: [T] steps, which share memory with the batch that they are from.

    Example:
        >>> from tensordict import TensorDict
        >>> steps = TensorDict({"next": {"reward": torch.ones(3, 1)}}, [3])
        >>> Trajectory(steps).length, Trajectory(steps).total_reward
        (3, tensor(3.))
    """

    data: TensorDictBase

    @property
    def length(self) -> int:
        """Number of steps."""
        return len(self.data)

    @property
    def batch_size(self) -> torch.Size:
        """`[T]`."""
        return self.data.batch_size

    @property
    def total_reward(self) -> Tensor:
        """Sum of the rewards, a scalar.

        Raises:
            MissingKeyError: there is no `"reward"`.
        """
        return self.get("reward").sum()

    def get(self, key: NestedKey) -> Tensor:
        """Return an entry of the steps, that of the root before that of `"next"`.

        Raises:
            MissingKeyError: there is none.
        """
        for place in (key, in_next(key)):
            value = self.data.get(place, None)
            if value is not None:
                return value
        raise MissingKeyError(
            f"The trajectory has neither `{key}` nor `{in_next(key)}`; its keys are "
            f"{sorted(map(str, self.data.keys(True, True)))}."
        )

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("__") or name == "data":
            raise AttributeError(f"`Trajectory` has no attribute `{name}`.")
        try:
            return self.get(name)
        except MissingKeyError as error:
            raise AttributeError(str(error)) from error

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        keys = sorted(map(str, self.data.keys()))
        return f"Trajectory(length={self.length}, keys={keys})"


def iter_trajectories(
    data: TensorDictBase, trajectory_key: NestedKey | None = None
) -> Iterator[Trajectory]:
    """Yield the trajectories of steps that follow each other.

    Args:
        data: [T] steps.
        trajectory_key: the ids. By default `("collector", "traj_ids")`, `"traj_ids"` or
            `"episode"` if there is one, else a trajectory ends where any flag of
            `DEFAULT_DONE_KEYS` is set; one that breaks off without a flag is then not told from
            the next.

    Raises:
        ShapeError: the data have not one batch dimension.
        MissingKeyError: there are neither ids nor flags.

    Example:
        >>> from tensordict import TensorDict
        >>> data = TensorDict({"x": torch.arange(3), "episode": torch.tensor([0, 0, 1])}, [3])
        >>> [piece.data["x"].tolist() for piece in iter_trajectories(data)]
        [[0, 1], [2]]
    """
    if data.ndim != 1:
        raise ShapeError(
            f"The data have batch size {list(data.shape)}, expected one dimension, of steps that "
            "follow each other. Pass `data.reshape(-1)`."
        )
    return (Trajectory(piece) for piece in data.split(_lengths(data, trajectory_key)))


def filter_trajectories(
    data: TensorDictBase,
    predicate: Callable[[Trajectory], bool] | None = None,
    *,
    trajectory_key: NestedKey | None = None,
) -> list[Trajectory]:
    """Return the trajectories for which a predicate is true.

    Args:
        data: [T] steps.
        predicate: a `TrajectoryPredicate`, made from `traj`, or a function of a `Trajectory`; all
            trajectories are kept without one.
        trajectory_key: see `iter_trajectories`.

    Raises:
        ShapeError, MissingKeyError: see `iter_trajectories`.

    Example:
        >>> from tensordict import TensorDict
        >>> data = TensorDict({"x": torch.arange(3), "episode": torch.tensor([0, 0, 1])}, [3])
        >>> filter_trajectories(data, lambda piece: piece.length > 1)
        [Trajectory(length=2, keys=['episode', 'x'])]
    """
    found = iter_trajectories(data, trajectory_key)
    return [piece for piece in found if predicate is None or predicate(piece)]


def _lengths(data: TensorDictBase, trajectory_key: NestedKey | None) -> list[int]:
    if len(data) == 0:
        return []
    keys = DEFAULT_TRAJECTORY_KEYS if trajectory_key is None else (trajectory_key,)
    for key in keys:
        ids = data.get(key, None)
        if ids is not None:
            rows = ids.reshape(len(data), -1)
            _, rows = rows.unique(dim=0, return_inverse=True)
            return find_start_stop_traj(trajectory=rows, at_capacity=False)[2].tolist()
    flags = [] if trajectory_key is not None else _flags(data)
    if not flags:
        looked = [*keys, *map(in_next, DEFAULT_DONE_KEYS)] if trajectory_key is None else [*keys]
        raise MissingKeyError(
            f"The data have none of {looked}, which tell trajectories apart; their keys are "
            f"{sorted(map(str, data.keys(True, True)))}. Pass `trajectory_key=`."
        )
    return find_start_stop_traj(end=torch.stack(flags).any(0), at_capacity=False)[2].tolist()


def _flags(data: TensorDictBase) -> list[Tensor]:
    for keys in (map(in_next, DEFAULT_DONE_KEYS), DEFAULT_DONE_KEYS):
        found = [data.get(key, None) for key in keys]
        found = [flag.reshape(len(data), -1).any(-1) for flag in found if flag is not None]
        if found:
            return found
    return []
