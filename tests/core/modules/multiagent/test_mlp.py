import pytest
import torch
from torch import nn

from rl.core.errors import ShapeError
from rl.core.modules import MLP, MultiAgentMLP, NoisyLinear, reset_noise

CASES = [(c, s) for c in (False, True) for s in (False, True)]


def build(centralized, share_params, inputs=6, **kwargs):
    kwargs = {"depth": 2, "num_cells": 8, **kwargs}
    return MultiAgentMLP(inputs, 2, 3, centralized=centralized, share_params=share_params, **kwargs)


def alone(net):
    nets = net.get_stateful_net()
    return [nets] * 3 if net.share_params else list(nets)


@pytest.mark.parametrize("inputs", [6, None])
@pytest.mark.parametrize(("centralized", "share_params"), CASES)
@pytest.mark.parametrize("batch", [(), (5,), (5, 2)])
def test_is_a_perceptron_per_agent(centralized, share_params, batch, inputs):
    net, x = build(centralized, share_params, inputs), torch.randn(*batch, 3, 6)
    out = net(x)
    seen = [x.flatten(-2) if centralized else x[..., agent, :] for agent in range(3)]
    want = torch.stack([m(part) for m, part in zip(alone(net), seen, strict=True)], -2)
    torch.testing.assert_close(out, want)
    assert net.n_agent_inputs == 6


@pytest.mark.parametrize(("centralized", "share_params"), CASES)
def test_number_of_parameters(centralized, share_params):
    size = 18 if centralized else 6
    one = sum(p.numel() for p in MLP(size, 2, num_cells=[8, 8]).parameters())
    net = build(centralized, share_params)
    assert sum(p.numel() for p in net.parameters()) == one * (1 if share_params else 3)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"norm_class": nn.LayerNorm, "norm_kwargs": {"normalized_shape": 8}},
        {"activation_class": nn.ReLU, "activate_last_layer": True},
        {"layer_class": NoisyLinear},
        {"bias_last_layer": False},
    ],
)
def test_arguments_of_the_perceptron(kwargs):
    net, x = build(False, False, **kwargs).eval(), torch.randn(5, 3, 6)
    want = torch.stack([m(x[:, agent]) for agent, m in enumerate(alone(net))], 1)
    torch.testing.assert_close(net(x), want)


@pytest.mark.parametrize(("centralized", "share_params"), CASES)
def test_agents_first(centralized, share_params):
    net, x = build(centralized, share_params, agent_dim=-3), torch.randn(3, 5, 6)
    out = net(x)
    assert out.shape == (3, 5, 2)
    net.agent_dim = -2
    torch.testing.assert_close(net(x.transpose(0, 1)).transpose(0, 1), out)


@pytest.mark.parametrize("share_params", [False, True])
def test_noise_is_drawn_anew(share_params):
    net, x = build(False, share_params, layer_class=NoisyLinear), torch.randn(5, 3, 6)
    first = net(x)
    parameters = {n: p.clone() for n, p in net.named_parameters()}
    net.apply(reset_noise)
    assert not torch.allclose(net(x), first)
    assert all(torch.equal(p, parameters[n]) for n, p in net.named_parameters())
    if not share_params:
        assert net.params["0", "weight_epsilon"].unique(dim=0).shape[0] == 3


def test_bad_input():
    with pytest.raises(ShapeError, match="`n_agent_inputs=5`"):
        build(False, False)(torch.zeros(5, 3, 5))
    lazy = build(True, True, None)
    lazy(torch.zeros(5, 3, 6))
    with pytest.raises(ShapeError, match="expected 6 entries per agent"):
        lazy(torch.zeros(5, 3, 5))
