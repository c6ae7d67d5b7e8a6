import math

import pytest
import torch

from rl.core.distributions.squash import Squash, log_two_cosh

BOUNDS = [(-1.0, 1.0), (-2.0, 3.0), (torch.tensor([0.0, -4.0]), torch.tensor([1.0, 4.0]))]


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_inverse(low, high):
    squash, u = Squash(low, high, safe=True), torch.tensor([[0.3, -1.7]])
    torch.testing.assert_close(squash.inverse(squash(u)), u, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_slope_equals_autograd(low, high):
    u = torch.tensor([0.3, -1.7], requires_grad=True)
    squash = Squash(low, high, safe=False)
    (slope,) = torch.autograd.grad(squash(u).sum(), u)
    torch.testing.assert_close(squash.log_slope(u.detach()), slope.log())


def test_slope_far_out():
    # tanh'(u) = 4 exp(-2u) for large u
    slope = Squash(-1.0, 1.0, safe=False).log_slope(torch.tensor(100.0))
    assert slope.item() == pytest.approx(math.log(4) - 200)


def test_log_two_cosh():
    assert log_two_cosh(torch.tensor(0.0)).item() == pytest.approx(math.log(2))
    assert log_two_cosh(torch.tensor(-1000.0)).item() == 1000.0


def test_values_outside_are_inverted_at_the_bound():
    squash = Squash(-1.0, 1.0, safe=True)
    assert squash.inverse(torch.tensor(7.0)) == squash.inverse(torch.tensor(1.0))
