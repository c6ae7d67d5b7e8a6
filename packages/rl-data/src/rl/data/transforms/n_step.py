"""The mathematics of n-step returns, without TensorDict (Sutton and Barto, 2018, section 7.1).

The return of step t is r_t + gamma r_{t+1} + ... + gamma^(m-1) r_{t+m-1}, with m the number of
steps to the state that its target bootstraps from: n, or fewer where the trajectory is cut.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rl.data.transforms.trajectories import last_steps

__all__ = ["n_step_return", "steps_ahead", "take_ahead"]


def steps_ahead(ends: Tensor, n_steps: int, time_dim: int) -> Tensor:
    """Return how many steps each return covers, `[*B, T]` int64: `n_steps` or up to the cut.

    Args:
        ends: `[*B, T]` bool, true at the last step of a trajectory and at the last index.
        n_steps: n.
        time_dim: index of T.

    Example:
        >>> steps_ahead(torch.tensor([False, False, True, False, True]), 2, 0)
        tensor([2, 2, 1, 2, 1])
    """
    shape = [1] * ends.ndim
    shape[time_dim] = ends.shape[time_dim]
    now = torch.arange(ends.shape[time_dim], device=ends.device).view(shape)
    return (last_steps(ends, time_dim) - now + 1).clamp(max=n_steps)


def n_step_return(reward: Tensor, steps: Tensor, gamma: float, time_dim: int) -> Tensor:
    """Sum the discounted rewards of `steps` steps from each on.

    Args:
        reward: r_t, `[*B, T, *F]`.
        steps: what `steps_ahead` returned, `[*B, T]`.
        gamma: discount.
        time_dim: index of T.

    Example:
        >>> reward = torch.tensor([[1.0], [2.0], [4.0]])
        >>> n_step_return(reward, torch.tensor([2, 2, 1]), 0.5, 0).flatten()
        tensor([2., 4., 4.])
    """
    wide = steps.reshape(*steps.shape, *[1] * (reward.ndim - steps.ndim))
    total = reward.clone()
    length = reward.shape[time_dim]
    for k in range(1, min(int(steps.max()) if steps.numel() else 0, length)):
        later = reward.narrow(time_dim, k, length - k)
        # `where`, not a product: a cut may be followed by padding of any value
        later = torch.where(wide.narrow(time_dim, 0, length - k) > k, gamma**k * later, 0)
        total.narrow(time_dim, 0, length - k).add_(later)
    return total


def take_ahead(value: Tensor, steps: Tensor, time_dim: int) -> Tensor:
    """Return, for each step, the value `steps - 1` steps later.

    Args:
        value: `[*B, T, *F]`.
        steps: `[*B, T]`, at least 1, none beyond the end.
        time_dim: index of T.

    Example:
        >>> take_ahead(torch.tensor([5, 6, 7]), torch.tensor([2, 2, 1]), 0)
        tensor([6, 7, 7])
    """
    shape = [1] * steps.ndim
    shape[time_dim] = steps.shape[time_dim]
    index = torch.arange(steps.shape[time_dim], device=steps.device).view(shape) + steps - 1
    index = index.reshape(*index.shape, *[1] * (value.ndim - steps.ndim)).expand_as(value)
    return value.gather(time_dim, index)
