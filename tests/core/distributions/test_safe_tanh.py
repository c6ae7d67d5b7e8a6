import pytest
import torch
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from rl.core.distributions import SafeTanhTransform


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("x", [-500.0, -1.0, 0.0, 1.0, 500.0])
def test_every_value_has_a_finite_inverse(x, dtype):
    transform, x = SafeTanhTransform(), torch.tensor(x, dtype=dtype)
    y = transform(x)
    back = transform.inv(y)
    assert y.dtype == back.dtype == dtype
    assert y.abs() < 1
    assert back.isfinite()
    if x.abs() <= 1:
        torch.testing.assert_close(back, x, atol=4 * torch.finfo(dtype).eps, rtol=0)


def test_bounds_have_finite_inverses_and_scores():
    dist = TransformedDistribution(Normal(torch.zeros(2), 1.0), SafeTanhTransform())
    assert dist.log_prob(torch.tensor([-1.0, 1.0])).isfinite().all()


def test_it_is_tanh_inside():
    x = torch.linspace(-3, 3, 7)
    ours, theirs = SafeTanhTransform(), TanhTransform()
    torch.testing.assert_close(ours(x), theirs(x))
    slopes = [each.log_abs_det_jacobian(x, each(x)) for each in (ours, theirs)]
    torch.testing.assert_close(*slopes)
