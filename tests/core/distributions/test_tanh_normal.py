import math

import pytest
import torch
from torch.distributions import Independent, Normal, TransformedDistribution, kl_divergence
from torch.distributions.transforms import AffineTransform, TanhTransform

from rl.core.distributions import TanhNormal
from rl.core.errors import SpecError


def make(loc, scale, **kwargs):
    return TanhNormal(torch.tensor([loc]), torch.tensor([scale]), **kwargs)


def test_log_prob_by_hand():
    # at y = tanh(0.5): N(0.5; 0, 1) / (1 - y^2)
    y = math.tanh(0.5)
    expected = -0.125 - 0.5 * math.log(2 * math.pi) - math.log(1 - y * y)
    assert make([0.0], [1.0]).log_prob(torch.tensor([[y]])).item() == pytest.approx(
        expected, abs=1e-5
    )


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-2.0, 3.0), (0.0, 0.5)])
def test_log_prob_equals_the_transformed_normal(low, high):
    torch.manual_seed(0)
    loc, scale = torch.randn(6, 3, dtype=torch.float64), torch.rand(6, 3, dtype=torch.float64) + 0.2
    maps = [TanhTransform(), AffineTransform((low + high) / 2, (high - low) / 2)]
    reference = TransformedDistribution(Independent(Normal(loc, scale), 1), maps)
    for bounds in ((low, high), (torch.full((3,), low), torch.full((3,), high))):
        dist = TanhNormal(loc, scale, low=bounds[0], high=bounds[1])
        value, score = dist.rsample_and_log_prob()
        torch.testing.assert_close(score, reference.log_prob(value))
        torch.testing.assert_close(dist.log_prob(value.clone()), score)


def test_own_draw_is_scored_exactly_in_saturation():
    dist = make([9.0], [0.5])
    value, score = dist.rsample_and_log_prob()
    noise = (dist._before - 9.0) / 0.5
    slope = math.log(4) - 2 * torch.logaddexp(dist._before, -dist._before)
    expected = -0.5 * noise**2 - math.log(0.5) - 0.5 * math.log(2 * math.pi) - slope
    torch.testing.assert_close(score, expected.sum(-1))
    assert torch.equal(dist.log_prob(value), score)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_bounds_have_finite_scores_and_gradients(dtype, safe):
    loc = torch.tensor([[0.5, -4.0]], dtype=dtype, requires_grad=True)
    dist = TanhNormal(loc, torch.ones(1, 2, dtype=dtype), safe_tanh=safe)
    score = dist.log_prob(torch.tensor([[1.0, -1.0]], dtype=dtype))
    score.sum().backward()
    assert score.dtype == dtype
    assert score.isfinite().all()
    assert loc.grad.isfinite().all()


def test_safe_tanh_keeps_off_the_bounds():
    assert make([50.0], [1.0]).rsample().item() == pytest.approx(1 - 1e-6, abs=1e-7)
    assert make([50.0], [1.0], safe_tanh=False).rsample().item() == 1.0


def test_deterministic_values():
    dist = make([0.5, -10.0], [1.0, 0.5], low=-2.0, high=3.0)
    expected = torch.tensor([[0.5 + 2.5 * math.tanh(0.5), -2.0]])
    torch.testing.assert_close(dist.deterministic_sample, expected, atol=1e-5, rtol=0)
    assert torch.equal(dist.mode, dist.deterministic_sample)


def test_tanh_loc():
    dist = make([0.5], [1.0], tanh_loc=True, upscale=2.0)
    assert dist.loc.item() == pytest.approx(2 * math.tanh(0.25))
    shifted = make([0.5], [1.0], tanh_loc=True, low=-2.0, high=3.0)
    assert shifted.loc.item() == pytest.approx(5 * math.tanh(0.1) + 0.5)


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0])
def test_quadrature_against_fine_integration(scale):
    loc = 0.7
    u = torch.linspace(loc - 10 * scale, loc + 10 * scale, 200_001, dtype=torch.float64)
    weight = Normal(loc, scale).log_prob(u).exp() * (u[1] - u[0])
    dist = TanhNormal(
        torch.tensor([[loc]], dtype=torch.float64), torch.tensor([[scale]], dtype=torch.float64)
    )
    mean = (weight * u.tanh()).sum()
    slope = (weight * (math.log(4) - 2 * torch.logaddexp(u, -u))).sum()
    entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(scale) + slope
    assert dist.mean.item() == pytest.approx(mean.item(), abs=2e-3)
    assert dist.entropy().item() == pytest.approx(entropy.item(), abs=2e-3)


@pytest.mark.parametrize("bounds", [{}, {"low": -2.0, "high": 3.0}, {"low": torch.tensor([-2.0])}])
def test_sampled_entropy_estimates_the_entropy(bounds):
    torch.manual_seed(0)
    loc, scale = torch.tensor([[0.7]]), torch.tensor([[0.5]])
    params = [tensor.double().requires_grad_() for tensor in (loc, scale)]
    dist = TanhNormal(*params, **bounds)
    exact = dist.entropy()
    estimate = dist.sample_entropy((200_000,))
    assert estimate.shape == (200_000, 1)
    assert estimate.mean(0).item() == pytest.approx(exact.item(), abs=5e-3)
    scored = -dist.rsample_and_log_prob((200_000,))[1]
    assert estimate.var() < scored.var()
    grads = torch.autograd.grad(estimate.mean(0).sum(), params)
    for grad, wanted in zip(grads, torch.autograd.grad(exact.sum(), params), strict=True):
        assert grad.item() == pytest.approx(wanted.item(), abs=5e-3)


def test_event_dims():
    loc = torch.zeros(4, 3)
    assert TanhNormal(loc, 1.0).batch_shape == (4,)
    assert TanhNormal(loc, 1.0, event_dims=0).log_prob(loc).shape == (4, 3)
    assert TanhNormal(loc, 1.0, event_dims=2).log_prob(loc).shape == ()
    assert TanhNormal(torch.tensor(0.0), 1.0).event_shape == ()


def test_cdf_and_icdf_are_inverse():
    dist = make([0.3, 0.1], [0.5, 1.0], low=-2.0, high=2.0)
    p = torch.tensor([[0.2, 0.9]])
    torch.testing.assert_close(dist.cdf(dist.icdf(p)), p, atol=1e-4, rtol=0)


def test_root_dist_and_kl():
    p, q = make([0.0], [1.0]), make([1.0], [2.0])
    assert isinstance(p.root_dist, Normal)
    expected = kl_divergence(p.root_dist, q.root_dist).sum(-1)
    torch.testing.assert_close(kl_divergence(p, q), expected)


def test_sample_and_log_prob_has_the_score_function_gradient():
    loc = torch.zeros(5, 2, requires_grad=True)
    dist = TanhNormal(loc, torch.ones(5, 2))
    value, score = dist.sample_and_log_prob()
    (grad,) = torch.autograd.grad(score.sum(), loc)
    torch.testing.assert_close(grad, torch.atanh(value), atol=1e-4, rtol=1e-4)


def test_integer_value_is_scored():
    assert make([0.0], [1.0]).log_prob(torch.zeros(1, 1, dtype=torch.int64)).isfinite().all()


def test_bounds_in_the_wrong_order():
    with pytest.raises(SpecError, match="low < high: swap them"):
        make([0.0], [1.0], low=1.0, high=-1.0)
