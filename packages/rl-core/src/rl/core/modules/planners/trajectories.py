"""What planners read from simulated trajectories."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, in_next, sibling, unravel_key
from rl.core.errors import MissingKeyError

__all__ = ["alive_after", "below_next", "elites", "per_entry"]


def below_next(key: NestedKey) -> NestedKey:
    """Return `key` below `"next"`, whether or not it was given so.

    Example:
        >>> below_next("reward"), below_next(("next", "reward"))
        (('next', 'reward'), ('next', 'reward'))
    """
    key = unravel_key(key)
    return key if isinstance(key, tuple) and key[0] == "next" else in_next(key)


def per_entry(data: TensorDictBase, key: NestedKey, fix: str) -> Tensor:
    """Return an entry of `data` as `[*B, F]`, one row per batch entry.

    Raises:
        MissingKeyError: it is not there; `fix` ends the message.
    """
    value = data.get(key, None)
    if value is None:
        keys = sorted(data.keys(True, True), key=str)
        raise MissingKeyError(f"The planner found no {key!r} among {keys}: {fix}")
    return value.reshape(*data.batch_size, -1)


def alive_after(transition: TensorDictBase, reward_key: NestedKey, alive: Tensor) -> Tensor:
    """Return which entries go on after `transition`: those of `alive` that are not done.

    The flag is the `done` beside the reward, else the one at the root of `"next"`. A group of
    agents goes on until all of them are done.
    """
    for key in (sibling(reward_key, "done"), ("next", "done")):
        done = transition.get(key, None)
        if done is not None:
            return alive & ~done.reshape(*transition.batch_size, -1).all(-1)
    return alive


def elites(actions: Tensor, index: Tensor) -> Tensor:
    """Return the actions `[H, K, *B, *A]` of the candidates `[K, *B]` among `[H, N, *B, *A]`."""
    index = index.reshape(1, *index.shape, *(1,) * (actions.dim() - 1 - index.dim()))
    return torch.take_along_dim(actions, index, dim=1)
