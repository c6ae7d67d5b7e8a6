"""Generalised advantage estimation (Schulman et al., 2015, arXiv:1506.02438, equation 16).

Shapes: values, rewards and flags are `[*B, T, *F]`. `terminated` forbids bootstrapping from the
next value, `done` cuts the sum over time: a truncated step bootstraps and cuts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rl.core.scan import linear_recurrence
from rl.objectives.functional.shapes import check_same_shape

__all__ = ["generalized_advantage_estimate", "vec_generalized_advantage_estimate"]


def generalized_advantage_estimate(
    gamma: float | Tensor,
    lmbda: float | Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    *,
    time_dim: int = -2,
) -> tuple[Tensor, Tensor]:
    """Compute the advantage with a loop over time: slow, obvious, the reference of the tests.

    Args:
        gamma: discount.
        lmbda: weight of longer returns.
        state_value: V(s_t), `[*B, T, *F]`.
        next_state_value: V(s_{t+1}), the value of the true successor, also at ends of episodes.
        reward: r_t.
        done: ends of trajectories, terminated or truncated.
        terminated: terminal states, without value beyond them. Default: `done`.
        time_dim: dimension of time.

    Returns:
        `(advantage, value_target)` where `value_target = advantage + state_value`.

    Raises:
        ShapeError: if the tensors do not share one shape.

    Example:
        >>> zero, one = torch.zeros(1, 2, 1), torch.ones(1, 2, 1)
        >>> advantage, _ = generalized_advantage_estimate(0.5, 1.0, zero, zero, one, zero.bool())
        >>> advantage.flatten().tolist()
        [1.5, 1.0]
    """
    terminated = done if terminated is None else terminated
    check_same_shape(
        state_value,
        next_state_value=next_state_value,
        reward=reward,
        done=done,
        terminated=terminated,
    )
    delta = _temporal_difference(gamma, state_value, next_state_value, reward, terminated)
    decay = (gamma * lmbda * torch.ones_like(delta)).masked_fill(done | terminated, 0.0)
    running = torch.zeros_like(delta.select(time_dim, 0))
    steps = []
    for t in reversed(range(delta.shape[time_dim])):
        running = delta.select(time_dim, t) + decay.select(time_dim, t) * running
        steps.append(running)
    advantage = torch.stack(steps[::-1], time_dim)
    return advantage, advantage + state_value


def vec_generalized_advantage_estimate(
    gamma: float | Tensor,
    lmbda: float | Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    *,
    time_dim: int = -2,
) -> tuple[Tensor, Tensor]:
    """Compute the advantage with a log-depth scan.

    Arguments, results and errors are those of `generalized_advantage_estimate`; `gamma` and
    `lmbda` may be tensors that broadcast to the reward, one discount per step.

    Example:
        >>> zero, one = torch.zeros(1, 2, 1), torch.ones(1, 2, 1)
        >>> value = vec_generalized_advantage_estimate(0.5, 1.0, zero, zero, one, zero.bool())
        >>> value[0].flatten().tolist()
        [1.5, 1.0]
    """
    check_same_shape(
        state_value,
        next_state_value=next_state_value,
        reward=reward,
        done=done,
        terminated=terminated,
    )
    cut = done if terminated is None else done | terminated
    terminated = done if terminated is None else terminated
    delta = _temporal_difference(gamma, state_value, next_state_value, reward, terminated)
    decay = (~cut).to(delta.dtype) * (gamma * lmbda)
    advantage = linear_recurrence(decay, delta, dim=time_dim)
    return advantage, advantage + state_value


def _temporal_difference(
    gamma: float | Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    terminated: Tensor,
) -> Tensor:
    # masked, not multiplied: a NaN beyond a terminal state is nobody's business
    return reward + gamma * next_state_value.masked_fill(terminated, 0.0) - state_value
