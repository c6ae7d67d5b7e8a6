import pytest
import torch
from torch import nn

from rl.core.modules import MLP, ConvNet
from rl.core.modules.multiagent.batched_perceptron import plan_perceptron


def stacked(networks):
    params, _ = torch.func.stack_module_state(networks)
    return params


@pytest.mark.parametrize("in_dim", [None, 0, 1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_is_the_loop_over_members(in_dim, bias):
    networks = [
        MLP(3, 2, num_cells=[8, 4], activation_class=nn.ELU, bias_last_layer=bias) for _ in range(4)
    ]
    plan, x = plan_perceptron(networks[0]), torch.randn(5, 6, 3)
    if in_dim is not None:
        x = torch.stack([x + i for i in range(4)], in_dim)
    inputs = [x] * 4 if in_dim is None else x.unbind(in_dim)
    want = torch.stack([net(part) for net, part in zip(networks, inputs, strict=True)], 1)
    torch.testing.assert_close(plan(stacked(networks), x, in_dim, 1), want)


def test_without_batch():
    networks = [nn.Sequential(nn.Linear(3, 2)) for _ in range(4)]
    x = torch.randn(4, 3)
    want = torch.stack([net(part) for net, part in zip(networks, x, strict=True)])
    torch.testing.assert_close(plan_perceptron(networks[0])(stacked(networks), x, 0, 0), want)


def hooked():
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    net[0].register_forward_hook(lambda *_: None)
    return net


@pytest.mark.parametrize(
    "network",
    [
        MLP(3, 2, num_cells=[4], dropout=0.5),
        MLP(3, 2, num_cells=[4], norm_class=nn.LayerNorm, norm_kwargs={"normalized_shape": 4}),
        MLP(3, (2, 2)),
        MLP(3, 2, single_bias_last_layer=True),
        MLP(3, 2, num_cells=[4], activation_class=nn.PReLU),
        ConvNet(3),
        nn.Linear(3, 2),
        nn.Sequential(nn.Tanh()),
        hooked(),
    ],
    ids=lambda net: type(net).__name__,
)
def test_others_are_left_to_vmap(network):
    assert plan_perceptron(network) is None
