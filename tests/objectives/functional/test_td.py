"""TD(0), TD(1), TD(lambda) by hand, against the loop, and their errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.errors import ShapeError
from rl.objectives.functional import td


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).view(1, -1, 1)


def flags(*numbers):
    return torch.tensor(numbers, dtype=torch.bool).view(1, -1, 1)


LAMBDA = pytest.mark.parametrize(
    "function", [td.td_lambda_return_estimate, td.vec_td_lambda_return_estimate]
)
ONE = pytest.mark.parametrize("function", [td.td1_return_estimate, td.vec_td1_return_estimate])


def test_td0_by_hand():
    result = td.td0_return_estimate(0.5, column(4, 6), column(1, 2), flags(0, 1))
    assert result.flatten().tolist() == [3.0, 2.0]


def test_td0_takes_done_when_terminated_is_missing():
    result = td.td0_return_estimate(0.5, column(4, 6), column(1, 2), done=flags(1, 0))
    assert result.flatten().tolist() == [1.0, 5.0]


def test_td0_without_flags():
    with pytest.raises(TypeError, match="needs `terminated`"):
        td.td0_return_estimate(0.5, column(1), column(1))


def test_td0_ignores_nan_beyond_a_terminal_state():
    result = td.td0_return_estimate(0.5, column(float("nan")), column(1), flags(1))
    assert result.item() == 1.0


def test_td0_advantage():
    result = td.td0_advantage_estimate(
        0.5, column(1, 1), column(4, 6), column(1, 2), flags(1, 1), flags(0, 1)
    )
    assert result.flatten().tolist() == [2.0, 1.0]


@LAMBDA
def test_td_lambda_by_hand(function):
    result = function(0.5, 0.5, column(4, 4, 4), column(1, 1, 1), flags(0, 0, 0))
    # last: 1 + 0.5 * 4 = 3; before: 1 + 0.5 * (0.5 * 4 + 0.5 * 3) = 2.75; 2.6875
    assert result.flatten().tolist() == [2.6875, 2.75, 3.0]


@LAMBDA
def test_td_lambda_truncated_and_terminated(function):
    args = (0.5, 0.5, column(4, 4, 4), column(1, 1, 1), flags(0, 1, 0))
    assert function(*args, flags(0, 0, 0)).flatten().tolist() == [2.75, 3.0, 3.0]
    # terminated: the step is worth its reward, 1; before it 1 + 0.5 * (2 + 0.5)
    assert function(*args, flags(0, 1, 0)).flatten().tolist() == [2.25, 1.0, 3.0]


@ONE
def test_td1_by_hand(function):
    result = function(0.5, column(4, 4, 4), column(1, 1, 1), flags(0, 0, 0))
    assert result.flatten().tolist() == [2.25, 2.5, 3.0]


@ONE
def test_td1_equals_lambda_one(function):
    following, reward = torch.randn(2, 3, 20, 1, dtype=torch.float64).unbind(0)
    done = torch.rand(3, 20, 1) < 0.2
    torch.testing.assert_close(
        function(0.9, following, reward, done),
        td.td_lambda_return_estimate(0.9, 1.0, following, reward, done),
    )


def test_lambda_zero_is_td0():
    following, reward = torch.randn(2, 3, 20, 1, dtype=torch.float64).unbind(0)
    done = torch.rand(3, 20, 1) < 0.2
    torch.testing.assert_close(
        td.vec_td_lambda_return_estimate(0.9, 0.0, following, reward, done),
        td.td0_return_estimate(0.9, following, reward, done),
    )


@settings(deadline=None, max_examples=50)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 2)),
    seed=st.integers(0, 10_000),
    gamma=st.floats(0, 1),
    lmbda=st.floats(0, 1),
)
def test_scan_equals_loop(shape, seed, gamma, lmbda):
    generator = torch.Generator().manual_seed(seed)
    following, reward = torch.randn(2, *shape, generator=generator, dtype=torch.float64).unbind(0)
    terminated = torch.rand(shape, generator=generator) < 0.2
    done = terminated | (torch.rand(shape, generator=generator) < 0.2)
    args = (gamma, lmbda, following, reward, done, terminated)
    torch.testing.assert_close(
        td.vec_td_lambda_return_estimate(*args), td.td_lambda_return_estimate(*args)
    )


@LAMBDA
@pytest.mark.parametrize("rolling", [True, False])
def test_rolling_gamma_by_hand(function, rolling):
    gamma = column(0.5, 0.25, 2.0)
    result = function(gamma, 1.0, column(0, 0, 0), column(1, 1, 1), flags(0, 0, 0), None, rolling)
    if rolling:  # 1 + g1 + g1 g2
        assert result.flatten().tolist() == [1.625, 1.25, 1.0]
    else:  # 1 + g1 + g1 ** 2
        assert result.flatten().tolist() == [1.75, 1.25, 1.0]


@pytest.mark.parametrize("rolling", [True, False])
def test_rolling_gamma_scan_equals_loop(rolling):
    following, reward, gamma = torch.rand(3, 2, 12, 1, dtype=torch.float64).unbind(0)
    terminated = torch.rand(2, 12, 1) < 0.1
    done = terminated | (torch.rand(2, 12, 1) < 0.2)
    args = (gamma, 0.7, following, reward, done, terminated, rolling)
    torch.testing.assert_close(
        td.vec_td_lambda_return_estimate(*args), td.td_lambda_return_estimate(*args)
    )


@pytest.mark.parametrize(
    ("advantage", "target", "extra"),
    [
        (td.td1_advantage_estimate, td.td1_return_estimate, ()),
        (td.vec_td1_advantage_estimate, td.vec_td1_return_estimate, ()),
        (td.td_lambda_advantage_estimate, td.td_lambda_return_estimate, (0.8,)),
        (td.vec_td_lambda_advantage_estimate, td.vec_td_lambda_return_estimate, (0.8,)),
    ],
)
def test_advantage_is_return_less_value(advantage, target, extra):
    value, following, reward = torch.randn(3, 2, 9, 1).unbind(0)
    done = torch.rand(2, 9, 1) < 0.2
    torch.testing.assert_close(
        advantage(0.9, *extra, value, following, reward, done),
        target(0.9, *extra, following, reward, done) - value,
    )


@LAMBDA
def test_reward_without_trailing_dimension(function):
    with pytest.raises(ShapeError, match=r"pass `reward.unsqueeze\(-1\)`"):
        function(0.9, 0.9, column(1, 2), column(1, 2)[..., 0], flags(0, 0))


@LAMBDA
def test_time_dim(function):
    following, reward = torch.randn(2, 4, 20, 2, dtype=torch.float64).unbind(0)
    done = torch.rand(4, 20, 2) < 0.1
    expected = function(0.9, 0.8, following, reward, done)
    moved = function(0.9, 0.8, following.mT, reward.mT, done.mT, time_dim=-1)
    torch.testing.assert_close(moved.mT, expected)
