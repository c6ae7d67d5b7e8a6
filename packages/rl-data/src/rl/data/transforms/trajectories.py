"""Where trajectories end in batches whose steps follow each other along one dimension."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, in_next
from rl.core.errors import MissingKeyError, ShapeError

__all__ = [
    "TRAJ_KEY",
    "any_feature",
    "last_steps",
    "padding_mask",
    "time_dimension",
    "trajectory_ends",
]

TRAJ_KEY = ("collector", "traj_ids")
MASK_KEYS = (("collector", "mask"), "mask")


def time_dimension(data: TensorDictBase, owner: str) -> int:
    """Return the index of the dimension named `"time"`, else of the last batch dimension.

    Raises:
        ShapeError: the data have no batch dimension.
    """
    if data.ndim == 0:
        raise ShapeError(
            f"`{owner}` works along time, and the data have batch size []: give a batch "
            "`[*B, T]` of steps that follow each other (`extend`, not `add`)."
        )
    names = data.names
    return names.index("time") if "time" in names else data.ndim - 1


def trajectory_ends(
    data: TensorDictBase,
    done_key: NestedKey = "done",
    *,
    time_dim: int,
    owner: str,
    traj_key: NestedKey | None = TRAJ_KEY,
    mask: Tensor | None = None,
) -> Tensor:
    """Return where a step is the last of its trajectory within the data, `[*B, T]` bool.

    That is where it is done, where the next step has another trajectory id or is padding, and at
    the end of the data.

    Args:
        data: `[*B, T]`.
        done_key: the flag below `"next"`.
        time_dim: index of T.
        owner: who asks, for the message.
        traj_key: the ids of trajectories, used where the data have them.
        mask: `[*B, T]`, false at padding.

    Raises:
        MissingKeyError: the flag is missing.
    """
    done = data.get(in_next(done_key), None)
    if done is None:
        raise MissingKeyError(
            f"`{owner}` reads `{in_next(done_key)}`, which is not in the data (they have "
            f"{sorted(map(str, data.keys(True, True)))}): pass `done_key=...`."
        )
    ends = any_feature(done, data.ndim)
    length = data.shape[time_dim]
    if length == 0:
        return ends
    changes = torch.zeros_like(ends)
    changes.select(time_dim, -1).fill_(True)
    before = changes.narrow(time_dim, 0, length - 1)
    ids = None if traj_key is None else data.get(traj_key, None)
    if ids is not None:
        later, earlier = (ids.narrow(time_dim, start, length - 1) for start in (1, 0))
        before |= any_feature(later != earlier, data.ndim)
    if mask is not None:
        before |= ~mask.narrow(time_dim, 1, length - 1)
    return ends | changes


def padding_mask(data: TensorDictBase, mask_key: NestedKey | None = None) -> Tensor | None:
    """Return which steps of padded trajectories are real, `[*B, T]` bool, or None if all are.

    The entry is `mask_key`, else `("collector", "mask")` or `"mask"` where the data have one.
    """
    for key in MASK_KEYS if mask_key is None else (mask_key,):
        mask = data.get(key, None)
        if mask is not None:
            return mask.reshape(data.shape).bool()
    return None


def any_feature(flag: Tensor, ndim: int) -> Tensor:
    """Return whether any of a step's flags is set, `[*B]`, from `[*B, *F]` with `ndim` first.

    Example:
        >>> any_feature(torch.tensor([[False, True], [False, False]]), 1)
        tensor([ True, False])
    """
    return flag.flatten(ndim).any(-1) if flag.ndim > ndim else flag


def last_steps(ends: Tensor, time_dim: int) -> Tensor:
    """Return, for each step, the time index of the last step of its trajectory.

    Args:
        ends: `[*B, T]` bool; true at the last index.
        time_dim: index of T.

    Example:
        >>> last_steps(torch.tensor([False, True, False, True]), 0)
        tensor([1, 1, 3, 3])
    """
    length = ends.shape[time_dim]
    shape = [1] * ends.ndim
    shape[time_dim] = length
    index = torch.arange(length, device=ends.device).view(shape)
    return torch.where(ends, index, length).flip(time_dim).cummin(time_dim).values.flip(time_dim)
