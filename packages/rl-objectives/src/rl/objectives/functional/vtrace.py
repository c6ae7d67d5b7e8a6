"""V-trace (Espeholt et al., 2018, IMPALA, arXiv:1802.01561, equation 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from rl.core.scan import linear_recurrence
from rl.objectives.functional.shapes import check_same_shape

__all__ = ["vtrace_advantage_estimate"]


def vtrace_advantage_estimate(  # noqa: PLR0913
    gamma: float | Tensor,
    log_pi: Tensor,
    log_mu: Tensor,
    state_value: Tensor,
    next_state_value: Tensor,
    reward: Tensor,
    done: Tensor,
    terminated: Tensor | None = None,
    rho_thresh: float | Tensor = 1.0,
    c_thresh: float | Tensor = 1.0,
    time_dim: int = -2,
) -> tuple[Tensor, Tensor]:
    """Compute advantage and value target corrected for off-policy data.

    At any `done` the successor's target is the true next value: the next row belongs to another
    trajectory.

    Args:
        gamma: discount, a number or a tensor that broadcasts to the reward.
        log_pi: log-prob of the actions under the policy being trained, `[*B, T, *F]`.
        log_mu: log-prob of the actions under the policy that collected them.
        state_value: V(s_t).
        next_state_value: V(s_{t+1}), also at ends of episodes.
        reward: r_t.
        done: ends of trajectories, terminated or truncated.
        terminated: terminal states, without value beyond them. Default: `done`.
        rho_thresh: ceiling of the weight of the temporal difference.
        c_thresh: ceiling of the weight of the trace.
        time_dim: dimension of time.

    Returns:
        `(advantage, value_target)`: rho_t * (r_t + gamma * v_{t+1} - V(s_t)), and v_t.

    Raises:
        ShapeError: if the tensors do not share one shape.

    Example:
        >>> zero, one = torch.zeros(1, 2, 1), torch.ones(1, 2, 1)
        >>> _, target = vtrace_advantage_estimate(0.5, zero, zero, zero, zero, one, zero.bool())
        >>> target.flatten().tolist()
        [1.5, 1.0]
    """
    check_same_shape(
        state_value,
        log_pi=log_pi,
        log_mu=log_mu,
        next_state_value=next_state_value,
        reward=reward,
        done=done,
        terminated=terminated,
    )
    cut = done if terminated is None else done | terminated
    terminated = done if terminated is None else terminated
    ratio = (log_pi - log_mu).exp()
    rho, c = _capped(ratio, rho_thresh), _capped(ratio, c_thresh)
    bootstrap = next_state_value.masked_fill(terminated, 0.0)
    delta = rho * (reward + gamma * bootstrap - state_value)
    correction = linear_recurrence(gamma * c * ~cut, delta, dim=time_dim)
    target = state_value + correction
    time = time_dim % target.ndim
    last = target.shape[time] - 1
    successor = torch.cat([target.narrow(time, 1, last), bootstrap.narrow(time, last, 1)], time)
    successor = torch.where(cut, bootstrap, successor)
    return rho * (reward + gamma * successor - state_value), target


def _capped(ratio: Tensor, threshold: float | Tensor) -> Tensor:
    return ratio.clamp(max=threshold)
