import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from rl.core.distributions import IndependentNormal, NormalParamExtractor

LOC, SCALE = torch.tensor([[0.5, -10.0, 7.0]]), torch.tensor([[1.0, 0.5, 2.0]])


def reference(loc=LOC, scale=SCALE, dims=1):
    return Independent(Normal(loc, scale), dims)


def test_log_prob_and_entropy_equal_the_reference():
    dist = IndependentNormal(LOC, SCALE)
    value = torch.tensor([[0.0, -9.0, 3.0]])
    torch.testing.assert_close(dist.log_prob(value), reference().log_prob(value))
    torch.testing.assert_close(dist.entropy(), reference().entropy())


def test_event_dims():
    loc, scale = torch.zeros(4, 3, 2), torch.ones(4, 3, 2)
    assert IndependentNormal(loc, scale, event_dim=0).log_prob(loc).shape == (4, 3, 2)
    two = IndependentNormal(loc, scale, event_dim=2)
    assert two.log_prob(loc).shape == (4,)
    torch.testing.assert_close(two.entropy(), reference(loc, scale, 2).entropy())


def test_tanh_loc_bounds_the_mean():
    dist = IndependentNormal(LOC, SCALE, upscale=2.0, tanh_loc=True)
    expected = [2 * math.tanh(0.25), 2 * math.tanh(-5.0), 2 * math.tanh(3.5)]
    torch.testing.assert_close(dist.mean, torch.tensor([expected]))


def test_scale_broadcasts():
    dist = IndependentNormal(torch.zeros(4, 2), torch.tensor([1.0, 2.0]))
    assert dist.log_prob(torch.zeros(4, 2)).shape == (4,)
    torch.testing.assert_close(
        IndependentNormal(torch.zeros(4, 2), 2.0).variance, torch.full((4, 2), 4.0)
    )


def test_fused_draw_equals_draw_then_score():
    dist = IndependentNormal(LOC, SCALE)
    torch.manual_seed(0)
    value, score = dist.rsample_and_log_prob((5,))
    torch.manual_seed(0)
    assert torch.equal(dist.rsample((5,)), value)
    torch.testing.assert_close(score, reference().log_prob(value))


def test_sample_and_log_prob_scores_with_gradient_for_a_draw_without():
    loc = LOC.clone().requires_grad_()
    value, score = IndependentNormal(loc, SCALE).sample_and_log_prob()
    assert not value.requires_grad
    (grad,) = torch.autograd.grad(score.sum(), loc)
    torch.testing.assert_close(grad, (value - LOC) / SCALE.square())


def test_kl_equals_the_reference():
    other = reference(LOC + 1, SCALE * 2)
    got = kl_divergence(IndependentNormal(LOC, SCALE), IndependentNormal(LOC + 1, SCALE * 2))
    torch.testing.assert_close(got, kl_divergence(reference(), other))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    dist = IndependentNormal(torch.zeros(2, 3, dtype=dtype), torch.ones(2, 3, dtype=dtype))
    value, score = dist.rsample_and_log_prob()
    assert value.dtype == score.dtype == dtype
    assert score.isfinite().all()


def test_param_extractor_is_tensordicts():
    loc, scale = NormalParamExtractor()(torch.zeros(5, 4))
    assert loc.shape == scale.shape == (5, 2)
    torch.testing.assert_close(scale, torch.ones(5, 2))
