import math

import pytest
import torch
from torch import nn

from rl.core.modules import (
    ExplorationType,
    NoisyLazyLinear,
    NoisyLinear,
    reset_noise,
    set_exploration_type,
)


def test_initial_spread():
    layer = NoisyLinear(3, 4)
    assert layer.weight_mu.abs().max() <= 1 / math.sqrt(3)
    torch.testing.assert_close(layer.weight_sigma, torch.full((4, 3), 0.5 / math.sqrt(3)))
    torch.testing.assert_close(layer.bias_sigma, torch.full((4,), 0.25))
    assert set(layer.state_dict()) == {
        f"{part}_{name}" for part in ("weight", "bias") for name in ("mu", "sigma", "epsilon")
    }


def test_noise_is_factorised():
    layer = NoisyLinear(3, 4)
    assert torch.linalg.matrix_rank(layer.weight_epsilon) == 1
    rows = layer.weight_epsilon / layer.bias_epsilon.unsqueeze(-1)
    torch.testing.assert_close(rows, rows[:1].expand(4, 3))


def test_output_by_hand():
    layer, x = NoisyLinear(3, 4), torch.randn(5, 3)
    weight = layer.weight_mu + layer.weight_sigma * layer.weight_epsilon
    bias = layer.bias_mu + layer.bias_sigma * layer.bias_epsilon
    torch.testing.assert_close(layer(x), x @ weight.T + bias)
    torch.testing.assert_close(layer.eval()(x), x @ layer.weight_mu.T + layer.bias_mu)


def test_reset_noise_changes_the_output_once():
    net, x = nn.Sequential(NoisyLinear(3, 4), nn.Tanh()), torch.randn(5, 3)
    first = net(x)
    assert torch.equal(net(x), first)
    net.apply(reset_noise)
    assert not torch.equal(net(x), first)


def test_gradients_reach_means_and_spreads():
    layer = NoisyLinear(3, 4)
    layer(torch.randn(5, 3)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())


def test_exploration_type_switches_the_noise():
    layer, x = NoisyLinear(3, 4, use_exploration_type=True).eval(), torch.randn(5, 3)
    with set_exploration_type(ExplorationType.DETERMINISTIC):
        quiet = layer(x)
    torch.testing.assert_close(quiet, x @ layer.weight_mu.T + layer.bias_mu)
    with set_exploration_type(ExplorationType.RANDOM):
        assert not torch.equal(layer(x), quiet)


def test_without_bias():
    layer = NoisyLinear(3, 4, bias=False)
    assert layer(torch.zeros(1, 3)).abs().sum() == 0
    layer.reset_noise()


@pytest.mark.parametrize("bias", [True, False])
def test_lazy(bias):
    layer = NoisyLazyLinear(4, bias=bias)
    layer.apply(reset_noise)
    x = torch.randn(5, 3)
    assert layer(x).shape == (5, 4)
    assert type(layer) is NoisyLinear
    assert layer.in_features == 3
    torch.testing.assert_close(layer.weight_sigma, torch.full((4, 3), 0.5 / math.sqrt(3)))
    before = layer(x)
    layer.reset_noise()
    assert not torch.equal(layer(x), before)
