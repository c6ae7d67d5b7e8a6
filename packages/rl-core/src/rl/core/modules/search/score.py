"""The base of scores of actions."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, RLError, ShapeError

__all__ = ["MCTSScore", "as_parent", "check_positive", "entry", "mean_reward"]


class MCTSScore(TensorDictModuleBase, ABC):
    """Writes a score for each action of a node; a search takes the action with the greatest.

    Subclasses set `in_keys` and `out_keys`, and write `forward`.

    Example:
        >>> from tensordict import TensorDict
        >>> class MostVisited(MCTSScore):
        ...     in_keys, out_keys = ["visits"], ["score"]
        ...     def forward(self, node):
        ...         return node.set("score", node["visits"].float())
        >>> MostVisited()(TensorDict(visits=torch.tensor([3, 1])))["score"]
        tensor([3., 1.])
    """

    @abstractmethod
    def forward(self, node: TensorDictBase) -> TensorDictBase:
        """Write the scores into `node` and return it."""


def entry(score: MCTSScore, node: TensorDictBase, key: NestedKey) -> Tensor:
    """Return an entry of `node`.

    Raises:
        MissingKeyError: it is not there; the message names the score and the node's keys.
    """
    value = node.get(key, None)
    if value is None:
        raise MissingKeyError(
            f"`{type(score).__name__}` found no {key!r}, the node has "
            f"{sorted(node.keys(True, True), key=str)}: write it, or name the entry in the "
            "constructor's `..._key=` arguments."
        )
    return value


def as_parent(key: NestedKey, total: Tensor, visits: Tensor) -> Tensor:
    """Return the parent's visits so that they broadcast over the actions of `visits`.

    Args:
        key: the name of `total`, for the message.
        total: a scalar, `[*B]` or `[*B, 1]`.
        visits: `[*B, A]`.

    Raises:
        ShapeError: `total` has another shape.
    """
    if total.dim() == 0 or total.shape == (*visits.shape[:-1], 1):
        return total
    if total.shape == visits.shape[:-1]:
        return total.unsqueeze(-1)
    raise ShapeError(
        f"`{key}` has shape {list(total.shape)}, expected {list(visits.shape[:-1])} or "
        f"{[*visits.shape[:-1], 1]}: one count of the parent for the {visits.shape[-1]} actions of "
        "each node."
    )


def mean_reward(total_reward: Tensor, visits: Tensor) -> Tensor:
    """Return the mean reward of each action, 0 where there was no visit."""
    return torch.where(visits > 0, total_reward / visits.clamp(min=1), 0.0)


def check_positive(name: str, value: float) -> float:
    """Return an exploration constant.

    Raises:
        RLError: it is negative, or no number.
    """
    if not value >= 0:
        raise RLError(
            f"`{name}` is {value}, expected a number of at least 0: it scales the exploration term."
        )
    return value
