import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import truncnorm

from rl.core.distributions import TruncatedNormal


def reference(loc, scale, low, high):
    return truncnorm((low - loc) / scale, (high - loc) / scale, loc=loc, scale=scale)


def make(loc, scale, low=-1.0, high=1.0, dtype=torch.float64):
    return TruncatedNormal(
        torch.tensor([[loc]], dtype=dtype), torch.tensor([[scale]], dtype=dtype), low=low, high=high
    )


@given(st.floats(-5, 5), st.floats(0.1, 3.0))
@settings(max_examples=40, deadline=None)
def test_moments_and_scores_equal_scipy(loc, scale):
    dist, other = make(loc, scale), reference(loc, scale, -1.0, 1.0)
    value = torch.tensor([[0.3]], dtype=torch.float64)
    assert dist.log_prob(value).item() == pytest.approx(other.logpdf(0.3), rel=1e-5, abs=1e-6)
    assert dist.mean.item() == pytest.approx(other.mean(), abs=1e-5)
    assert dist.variance.item() == pytest.approx(other.var(), abs=1e-5)


@given(st.floats(-5, 5), st.floats(0.1, 3.0))
@settings(max_examples=40, deadline=None)
def test_entropy_equals_integration(loc, scale):
    # scipy's own entropy cancels in the tails
    dist = make(loc, scale)
    value = torch.linspace(-1, 1, 100_001, dtype=torch.float64).view(-1, 1, 1)
    score = dist.log_prob(value)
    expected = -torch.trapezoid(score.exp() * score, value.view(-1, 1), dim=0)
    assert dist.entropy().item() == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("loc", [-200.0, -12.0, 12.0, 200.0])
def test_mean_far_outside_the_interval(loc):
    dist = make(loc, 0.5, dtype=torch.float32)
    near = math.copysign(1.0, loc)
    assert dist.mean.item() == pytest.approx(near, abs=0.05)
    draws = dist.sample((200,))
    assert (draws.abs() <= 1).all()
    torch.testing.assert_close(draws.mean(), torch.tensor(near), atol=0.05, rtol=0)
    assert dist.log_prob(draws).isfinite().all()


def test_draws_follow_the_distribution_function():
    torch.manual_seed(0)
    draws = make(0.4, 0.8).sample((20_000,)).flatten()
    other = reference(0.4, 0.8, -1.0, 1.0)
    for quantile in (0.1, 0.5, 0.9):
        share = (draws <= other.ppf(quantile)).double().mean().item()
        assert share == pytest.approx(quantile, abs=0.012)


def test_gradient_of_the_draw():
    loc = torch.tensor([[0.2]], dtype=torch.float64, requires_grad=True)
    value = TruncatedNormal(loc, torch.ones(1, 1, dtype=torch.float64)).rsample((500,))
    (grad,) = torch.autograd.grad(value.mean(), loc)
    step = 1e-5
    slope = (reference(0.2 + step, 1, -1, 1).mean() - reference(0.2 - step, 1, -1, 1).mean()) / (
        2 * step
    )
    assert grad.item() == pytest.approx(slope, abs=0.05)


def test_values():
    dist = TruncatedNormal(torch.tensor([[0.5, -10.0, 7.0]]), torch.tensor([[1.0, 0.5, 2.0]]))
    torch.testing.assert_close(dist.mode, torch.tensor([[0.5, -1.0, 1.0]]))
    assert torch.equal(dist.deterministic_sample, dist.mean)
    assert dist.log_prob(torch.full((1, 3), 5.0)).item() == -math.inf
    assert dist.log_prob(torch.ones(1, 3)).isfinite().all()
    assert dist.log_prob(-torch.ones(1, 3)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    dist = make(0.3, 0.5, dtype=dtype)
    value, score = dist.rsample_and_log_prob()
    assert value.dtype == score.dtype == dtype
    assert score.isfinite().all()
