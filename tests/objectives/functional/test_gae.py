"""GAE by hand, against the loop, and its errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.errors import ShapeError
from rl.objectives.functional.gae import (
    generalized_advantage_estimate,
    vec_generalized_advantage_estimate,
)

BOTH = pytest.mark.parametrize(
    "gae", [generalized_advantage_estimate, vec_generalized_advantage_estimate]
)


def column(*numbers, dtype=torch.float64):
    return torch.tensor(numbers, dtype=dtype).view(1, -1, 1)


def flags(*numbers):
    return torch.tensor(numbers, dtype=torch.bool).view(1, -1, 1)


@BOTH
def test_by_hand(gae):
    # delta = 1 + 0.5 * 4 - 2 = 1 each; decay 0.25
    advantage, target = gae(
        0.5, 0.5, column(2, 2, 2), column(4, 4, 4), column(1, 1, 1), flags(0, 0, 0)
    )
    assert advantage.flatten().tolist() == [1.3125, 1.25, 1.0]
    assert target.flatten().tolist() == [3.3125, 3.25, 3.0]


@BOTH
def test_truncated_bootstraps_terminated_does_not(gae):
    value, following, reward = column(2, 2, 2), column(4, 4, 4), column(1, 1, 1)
    done = flags(0, 1, 0)
    truncated, _ = gae(0.5, 0.5, value, following, reward, done, flags(0, 0, 0))
    terminated, _ = gae(0.5, 0.5, value, following, reward, done, done)
    # step 1: 1 + 2 - 2 when truncated, 1 - 2 when terminated; nothing from step 2 in either
    assert truncated.flatten().tolist() == [1.25, 1.0, 1.0]
    assert terminated.flatten().tolist() == [0.75, -1.0, 1.0]


@BOTH
def test_terminated_defaults_to_done(gae):
    args = (0.9, 0.8, column(1, 2), column(3, 4), column(5, 6))
    done = flags(1, 0)
    torch.testing.assert_close(gae(*args, done), gae(*args, done, done))


@BOTH
def test_nan_beyond_a_terminal_state_is_harmless(gae):
    following = column(float("nan"), 4)
    done = flags(1, 0)
    advantage, _ = gae(0.5, 0.5, column(2, 2), following, column(1, 1), done, done)
    assert advantage.flatten().tolist() == [-1.0, 1.0]


@settings(deadline=None, max_examples=50)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 2)),
    seed=st.integers(0, 10_000),
    gamma=st.floats(0, 1),
    lmbda=st.floats(0, 1),
)
def test_scan_equals_loop(shape, seed, gamma, lmbda):
    generator = torch.Generator().manual_seed(seed)
    value, following, reward = torch.randn(
        3, *shape, generator=generator, dtype=torch.float64
    ).unbind(0)
    terminated = torch.rand(shape, generator=generator) < 0.2
    done = terminated | (torch.rand(shape, generator=generator) < 0.2)
    args = (gamma, lmbda, value, following, reward, done, terminated)
    torch.testing.assert_close(
        vec_generalized_advantage_estimate(*args), generalized_advantage_estimate(*args)
    )


def test_discount_per_step():
    shape = (2, 30, 1)
    value, following, reward, gamma, lmbda = torch.rand(5, *shape, dtype=torch.float64).unbind(0)
    done = torch.rand(shape) < 0.1
    args = (gamma, lmbda, value, following, reward, done)
    torch.testing.assert_close(
        vec_generalized_advantage_estimate(*args), generalized_advantage_estimate(*args)
    )


@BOTH
def test_time_dim(gae):
    value, following, reward = torch.randn(3, 4, 20, 2, dtype=torch.float64).unbind(0)
    done = torch.rand(4, 20, 2) < 0.1
    expected, _ = gae(0.9, 0.8, value, following, reward, done)
    moved, _ = gae(0.9, 0.8, *(x.mT for x in (value, following, reward, done)), time_dim=-1)
    torch.testing.assert_close(moved.mT, expected)


@BOTH
def test_reward_without_trailing_dimension(gae):
    value = column(1, 2)
    with pytest.raises(ShapeError, match=r"pass `reward.unsqueeze\(-1\)`"):
        gae(0.9, 0.9, value, value, column(1, 2)[..., 0], flags(0, 0))


@BOTH
def test_shapes_that_would_broadcast(gae):
    value = torch.ones(2, 3, 4)
    with pytest.raises(ShapeError, match=r"`done.expand_as\(state_value\)`"):
        gae(0.9, 0.9, value, value, value, torch.zeros(2, 3, 1, dtype=torch.bool))


def test_gradient_reaches_the_values():
    value = column(1, 2, 3).requires_grad_()
    advantage, _ = vec_generalized_advantage_estimate(
        0.5, 0.5, value, column(1, 1, 1), column(1, 1, 1), flags(0, 0, 0)
    )
    advantage.sum().backward()
    # step t enters its own delta and those of the steps before it, with weight 0.25^k
    assert value.grad.flatten().tolist() == [-1.0, -1.25, -1.3125]
