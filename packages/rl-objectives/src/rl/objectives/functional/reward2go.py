"""Discounted reward-to-go, the Monte-Carlo return of REINFORCE."""

from __future__ import annotations

from torch import Tensor

from rl.core.scan import linear_recurrence
from rl.objectives.functional.shapes import check_same_shape

__all__ = ["reward2go"]


def reward2go(
    reward: Tensor, done: Tensor, gamma: float | Tensor = 1.0, *, time_dim: int = -2
) -> Tensor:
    """Sum the discounted rewards from each step to the end of its trajectory.

    Args:
        reward: r_t, `[*B, T, *F]`.
        done: ends of trajectories, same shape. The last step of the data ends one too.
        gamma: discount, a number or a tensor that broadcasts to the reward.
        time_dim: dimension of time.

    Raises:
        ShapeError: if the shapes differ.

    Example:
        >>> import torch
        >>> done = torch.tensor([False, True, False]).view(1, 3, 1)
        >>> reward2go(torch.ones(1, 3, 1), done, 0.5).flatten().tolist()
        [1.5, 1.0, 1.0]
    """
    check_same_shape(reward, done=done)
    return linear_recurrence((~done).to(reward.dtype) * gamma, reward, dim=time_dim)
