import math

import pytest
import torch

from rl.core.distributions import Delta, TanhDelta

PARAM = torch.tensor([[0.5, -10.0]])


def test_mass_is_on_the_parameter():
    dist = Delta(PARAM)
    assert torch.equal(dist.sample(), PARAM)
    assert dist.sample((3,)).shape == (3, 1, 2)
    assert dist.log_prob(PARAM).tolist() == [math.inf]
    assert dist.log_prob(PARAM + 1e-7).tolist() == [math.inf]
    assert dist.log_prob(PARAM + torch.tensor([0.0, 1e-3])).tolist() == [-math.inf]
    assert torch.equal(dist.variance, torch.zeros(1, 2))


def test_tolerance():
    assert Delta(PARAM, atol=0.1).log_prob(PARAM + 0.05).tolist() == [math.inf]


def test_shapes():
    assert Delta(torch.zeros(4, 3, 2), event_shape=(3, 2)).batch_shape == (4,)
    assert Delta(torch.zeros(4, 3), batch_shape=(4, 3)).log_prob(torch.zeros(4, 3)).shape == (4, 3)
    assert Delta(torch.tensor(1.0)).log_prob(torch.tensor(1.0)).item() == math.inf


def test_gradient_passes_to_the_parameter():
    param = PARAM.clone().requires_grad_()
    Delta(param).rsample().sum().backward()
    assert torch.equal(param.grad, torch.ones(1, 2))


@pytest.mark.parametrize("tensor", [True, False])
def test_tanh_delta_by_hand(tensor):
    low, high = (torch.tensor(-2.0), torch.tensor(3.0)) if tensor else (-2.0, 3.0)
    dist = TanhDelta(PARAM, low=low, high=high)
    # mid = 0.5, half = 2.5; the parameter is shifted by mid, as TorchRL does
    expected = torch.tensor([[0.5 + 2.5 * math.tanh(1.0), -2.0]])
    torch.testing.assert_close(dist.mode, expected, atol=1e-5, rtol=0)
    assert torch.equal(dist.mean, dist.mode)
    assert dist.log_prob(dist.mode).tolist() == [math.inf]
    assert dist.event_shape == (2,)
