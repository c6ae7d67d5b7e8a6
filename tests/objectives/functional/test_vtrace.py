"""V-trace by hand, against its definition as a sum, and the fixed truncation rule."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.errors import ShapeError
from rl.objectives.functional import vec_td1_return_estimate, vtrace_advantage_estimate


def reference(gamma, log_pi, log_mu, value, following, reward, done, terminated):
    """Equation 1 of the paper for one trajectory batch [T], step by step."""
    length = len(reward)
    rho = (log_pi - log_mu).exp().clamp(max=1.0)
    target = torch.zeros_like(value)
    for s in range(length):
        total, weight = value[s].clone(), 1.0
        for t in range(s, length):
            bootstrap = 0.0 if terminated[t] else following[t]
            total = total + weight * rho[t] * (reward[t] + gamma * bootstrap - value[t])
            if done[t]:
                break
            weight = weight * gamma * rho[t]
        target[s] = total
    advantage = torch.zeros_like(value)
    for s in range(length):
        successor = following[s] if done[s] or s == length - 1 else target[s + 1]
        successor = 0.0 if terminated[s] else successor
        advantage[s] = rho[s] * (reward[s] + gamma * successor - value[s])
    return advantage, target


@settings(deadline=None, max_examples=40)
@given(length=st.integers(1, 25), seed=st.integers(0, 10_000))
def test_equals_the_definition(length, seed):
    generator = torch.Generator().manual_seed(seed)
    args = torch.randn(5, length, generator=generator, dtype=torch.float64).unbind(0)
    terminated = torch.rand(length, generator=generator) < 0.15
    done = terminated | (torch.rand(length, generator=generator) < 0.15)
    expected = reference(0.9, *args, done, terminated)
    columns = [x.view(1, -1, 1) for x in (*args, done, terminated)]
    result = vtrace_advantage_estimate(0.9, *columns)
    torch.testing.assert_close([x.flatten() for x in result], list(expected))


def test_on_policy_target_is_the_full_return():
    value, log_prob, reward = torch.randn(3, 1, 9, 1, dtype=torch.float64).unbind(0)
    following = torch.cat([value[:, 1:], torch.ones(1, 1, 1, dtype=torch.float64)], 1)
    done = torch.zeros(1, 9, 1, dtype=torch.bool)
    _, target = vtrace_advantage_estimate(0.9, log_prob, log_prob, value, following, reward, done)
    torch.testing.assert_close(target, vec_td1_return_estimate(0.9, following, reward, done))


def test_truncated_step_takes_the_true_next_value():
    zero = torch.zeros(1, 2, 1)
    following = torch.tensor([8.0, 0.0]).view(1, 2, 1)
    reward = torch.tensor([1.0, 100.0]).view(1, 2, 1)
    done = torch.tensor([True, False]).view(1, 2, 1)
    advantage, target = vtrace_advantage_estimate(
        0.5, zero, zero, zero, following, reward, done, torch.zeros_like(done)
    )
    # 1 + 0.5 * 8; the 100 of the next trajectory does not leak in
    assert advantage[0, 0].item() == 5.0
    assert target[0, 0].item() == 5.0


def test_thresholds():
    zero, one = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    done = torch.zeros(1, 1, 1, dtype=torch.bool)
    log_four = torch.full((1, 1, 1), 4.0).log()
    _, target = vtrace_advantage_estimate(
        0.5, log_four, zero, zero, zero, one, done, rho_thresh=2.0
    )
    assert target.item() == 2.0


def test_log_prob_without_trailing_dimension():
    one = torch.ones(1, 3, 1)
    with pytest.raises(ShapeError, match=r"pass `log_pi.unsqueeze\(-1\)`"):
        vtrace_advantage_estimate(0.9, one[..., 0], one, one, one, one, one.bool())
