"""Temporal-difference returns: TD(0), TD(1), TD(lambda) (Sutton & Barto, 2018, chapter 12).

Shapes: values, rewards and flags are `[*B, T, *F]`. `terminated` forbids bootstrapping from the
next value, `done` cuts the sum over time: a truncated step bootstraps and cuts. The last step of
the data always bootstraps. An advantage is a return less the state value.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rl.core.scan import linear_recurrence
from rl.objectives.functional.shapes import check_same_shape

__all__ = [
    "td0_advantage_estimate",
    "td0_return_estimate",
    "td1_advantage_estimate",
    "td1_return_estimate",
    "td_lambda_advantage_estimate",
    "td_lambda_return_estimate",
    "vec_td1_advantage_estimate",
    "vec_td1_return_estimate",
    "vec_td_lambda_advantage_estimate",
    "vec_td_lambda_return_estimate",
]


def td0_return_estimate(
    gamma: float | Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    terminated: Tensor | None = None,
    *,
    done: Tensor | None = None,
) -> Tensor:
    """Compute the one-step return r_t + gamma * V(s_{t+1}).

    Args:
        gamma: discount, a number or a tensor that broadcasts to the reward.
        next_state_value: V(s_{t+1}), `[*B, *F]`.
        reward: r_t.
        terminated: terminal states, without value beyond them. Default: `done`.
        done: read only when `terminated` is not given.

    Raises:
        ShapeError: if the tensors do not share one shape.
        TypeError: if neither flag is given.

    Example:
        >>> one = torch.ones(1, 1)
        >>> td0_return_estimate(0.5, one, one, one.bool()).item()
        1.0
    """
    terminated = done if terminated is None else terminated
    if terminated is None:
        raise TypeError("td0_return_estimate needs `terminated` (or `done`, taken in its place).")
    check_same_shape(next_state_value, reward=reward, terminated=terminated)
    return reward + gamma * next_state_value.masked_fill(terminated, 0.0)


def td0_advantage_estimate(
    gamma: float | Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
) -> Tensor:
    """Compute the one-step advantage; arguments as in `td0_return_estimate`."""
    check_same_shape(state_value, next_state_value=next_state_value)
    target = td0_return_estimate(gamma, next_state_value, reward, terminated, done=done)
    return target - state_value


def td_lambda_return_estimate(
    gamma: float | Tensor,
    lmbda: float | Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rolling_gamma: bool | None = None,
    *,
    time_dim: int = -2,
) -> Tensor:
    """Compute the lambda-return with a loop over time: slow, obvious, the reference of the tests.

    Args:
        gamma: discount, a number or a tensor that broadcasts to the reward.
        lmbda: weight of longer returns, likewise.
        next_state_value: V(s_{t+1}), `[*B, T, *F]`, also at ends of episodes.
        reward: r_t.
        done: ends of trajectories, terminated or truncated.
        terminated: terminal states, without value beyond them. Default: `done`.
        rolling_gamma: with a tensor `gamma`, whether gamma_t discounts step t in every return
            (`True`, the default) or every step of the return that starts at t (`False`).
        time_dim: dimension of time.

    Raises:
        ShapeError: if the tensors do not share one shape.

    Example:
        >>> one = torch.ones(1, 2, 1)
        >>> td_lambda_return_estimate(0.5, 1.0, one, one, ~one.bool()).flatten().tolist()
        [1.75, 1.5]
    """
    terminated = done if terminated is None else terminated
    check_same_shape(next_state_value, reward=reward, done=done, terminated=terminated)
    if rolling_gamma is False and _per_step(gamma):
        return _per_start(
            td_lambda_return_estimate,
            gamma,
            (lmbda, next_state_value, reward, done, terminated),
            time_dim,
        )
    gamma, lmbda = _expanded(gamma, reward), _expanded(lmbda, reward)
    future = next_state_value.select(time_dim, -1)
    steps = []
    for t in reversed(range(reward.shape[time_dim])):
        value, r, g, weight = (
            x.select(time_dim, t) for x in (next_state_value, reward, gamma, lmbda)
        )
        is_cut = (done | terminated).select(time_dim, t)
        future = torch.where(is_cut, value, (1 - weight) * value + weight * future)
        future = torch.where(terminated.select(time_dim, t), 0.0, future)
        future = r + g * future
        steps.append(future)
    return torch.stack(steps[::-1], time_dim)


def vec_td_lambda_return_estimate(
    gamma: float | Tensor,
    lmbda: float | Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rolling_gamma: bool | None = None,
    *,
    time_dim: int = -2,
) -> Tensor:
    """Compute the lambda-return with a log-depth scan.

    Arguments, result and errors are those of `td_lambda_return_estimate`. `rolling_gamma=False`
    with one discount per step solves one recurrence per starting step: O(T^2).

    Example:
        >>> one = torch.ones(1, 2, 1)
        >>> vec_td_lambda_return_estimate(0.5, 1.0, one, one, ~one.bool()).flatten().tolist()
        [1.75, 1.5]
    """
    check_same_shape(next_state_value, reward=reward, done=done, terminated=terminated)
    cut = done if terminated is None else done | terminated
    terminated = done if terminated is None else terminated
    if rolling_gamma is False and _per_step(gamma):
        return _per_start(
            vec_td_lambda_return_estimate,
            gamma,
            (lmbda, next_state_value, reward, done, terminated),
            time_dim,
        )
    weight = (~cut).to(reward.dtype) * lmbda
    # the last step of the data has no successor in it: its whole weight goes to the value
    time = time_dim % weight.ndim
    last = weight.shape[time] - 1
    weight = torch.cat(
        [weight.narrow(time, 0, last), torch.zeros_like(weight.narrow(time, last, 1))], time
    )
    bootstrap = next_state_value.masked_fill(terminated, 0.0)
    increment = reward + gamma * (bootstrap - weight * bootstrap)
    return linear_recurrence(gamma * weight, increment, dim=time_dim)


def td_lambda_advantage_estimate(  # noqa: PLR0913
    gamma: float | Tensor,
    lmbda: float | Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rolling_gamma: bool | None = None,
    time_dim: int = -2,
) -> Tensor:
    """Compute the lambda-return less the state value; see `td_lambda_return_estimate`."""
    check_same_shape(state_value, next_state_value=next_state_value)
    target = td_lambda_return_estimate(
        gamma, lmbda, next_state_value, reward, done, terminated, rolling_gamma, time_dim=time_dim
    )
    return target - state_value


def vec_td_lambda_advantage_estimate(  # noqa: PLR0913
    gamma: float | Tensor,
    lmbda: float | Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rolling_gamma: bool | None = None,
    time_dim: int = -2,
) -> Tensor:
    """Compute the lambda-return less the state value; see `vec_td_lambda_return_estimate`."""
    check_same_shape(state_value, next_state_value=next_state_value)
    target = vec_td_lambda_return_estimate(
        gamma, lmbda, next_state_value, reward, done, terminated, rolling_gamma, time_dim=time_dim
    )
    return target - state_value


def td1_return_estimate(
    gamma: float | Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rolling_gamma: bool | None = None,
    *,
    time_dim: int = -2,
) -> Tensor:
    """Compute the return to the end of the trajectory, with a loop: TD(lambda) at lambda = 1.

    Example:
        >>> one = torch.ones(1, 2, 1)
        >>> td1_return_estimate(0.5, one, one, ~one.bool()).flatten().tolist()
        [1.75, 1.5]
    """
    return td_lambda_return_estimate(
        gamma, 1.0, next_state_value, reward, done, terminated, rolling_gamma, time_dim=time_dim
    )


def vec_td1_return_estimate(
    gamma: float | Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rolling_gamma: bool | None = None,
    time_dim: int = -2,
) -> Tensor:
    """Compute the return to the end of the trajectory with a scan; see `td1_return_estimate`."""
    return vec_td_lambda_return_estimate(
        gamma, 1.0, next_state_value, reward, done, terminated, rolling_gamma, time_dim=time_dim
    )


def td1_advantage_estimate(
    gamma: float | Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rolling_gamma: bool | None = None,
    time_dim: int = -2,
) -> Tensor:
    """Compute the full return less the state value; see `td1_return_estimate`."""
    check_same_shape(state_value, next_state_value=next_state_value)
    target = td1_return_estimate(
        gamma, next_state_value, reward, done, terminated, rolling_gamma, time_dim=time_dim
    )
    return target - state_value


def vec_td1_advantage_estimate(
    gamma: float | Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rolling_gamma: bool | None = None,
    time_dim: int = -2,
) -> Tensor:
    """Compute the full return less the state value; see `vec_td1_return_estimate`."""
    check_same_shape(state_value, next_state_value=next_state_value)
    target = vec_td1_return_estimate(
        gamma, next_state_value, reward, done, terminated, rolling_gamma, time_dim
    )
    return target - state_value


def _per_step(gamma: float | Tensor) -> bool:
    return isinstance(gamma, Tensor) and gamma.numel() > 1


def _expanded(coefficient: float | Tensor, like: Tensor) -> Tensor:
    return torch.as_tensor(coefficient, dtype=like.dtype, device=like.device).expand_as(like)


def _per_start(
    function: Callable[..., Tensor], gamma: Tensor, tensors: tuple, time_dim: int
) -> Tensor:
    """Return, for each start s, element s of the return whose every step has discount gamma_s."""
    lmbda, next_state_value, reward, done, terminated = tensors
    time = time_dim % reward.ndim
    length = reward.shape[time]
    # a new leading dimension holds the start: [S, *B, T, *F] with S = T
    gammas = gamma.expand_as(reward).movedim(time, 0).unsqueeze(time + 1)
    copies = [x.expand(length, *x.shape) for x in (next_state_value, reward, done, terminated)]
    returns = function(
        gammas.expand_as(copies[1]), lmbda, *copies, rolling_gamma=True, time_dim=time + 1
    )
    return returns.diagonal(0, 0, time + 1).movedim(-1, time)
