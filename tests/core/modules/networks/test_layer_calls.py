"""Layers called by the short road give what `nn.Sequential` gives, whatever is registered."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations

from rl.core.modules.networks.layer_calls import call, is_hooked, run_layers
from rl.core.modules.networks.mlp import MLP


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 2, bias=False)))


X = torch.arange(6.0).reshape(2, 3)


def test_equals_the_module():
    net = make()
    assert torch.equal(run_layers(net, X), net(X))
    assert torch.equal(call(net, X), net(X))


def test_other_modules_are_called():
    assert call(lambda x, y: x + y, 1, 2) == 3
    assert torch.equal(call(nn.Bilinear(3, 3, 1), X, X).isfinite().all(), torch.tensor(True))


@pytest.mark.parametrize(
    "register",
    [
        lambda layer, seen: layer.register_forward_hook(lambda *_: seen.append(1)),
        lambda layer, seen: layer.register_forward_pre_hook(lambda *_: seen.append(1)),
        lambda layer, seen: layer.register_full_backward_hook(lambda *_: seen.append(1)),
        lambda layer, seen: layer.register_full_backward_pre_hook(lambda *_: seen.append(1)),
    ],
    ids=["forward", "pre", "backward", "pre-backward"],
)
@pytest.mark.parametrize(
    "pick",
    [lambda net: net, lambda net: net[0], lambda net: net[2], lambda net: net[2][0]],
    ids=["whole", "layer", "part", "layer of a part"],
)
def test_hooks_run(register, pick):
    net, seen = make(), []
    register(pick(net), seen)
    assert is_hooked(pick(net))
    call(net, X.clone().requires_grad_()).sum().backward()
    assert len(seen) == 1


def test_global_hooks_run():
    net, seen = make(), []
    handle = register_module_forward_hook(lambda module, *_: seen.append(type(module)))
    try:
        run_layers(net, X)
    finally:
        handle.remove()
    assert seen == [nn.Linear, nn.Tanh, nn.Linear, nn.Sequential]


def test_replaced_members_and_parameters_are_seen():
    net = make()
    net[1] = nn.ReLU()
    net[0].weight = nn.Parameter(torch.ones(4, 3))
    assert torch.equal(run_layers(net, X), net(X))


def test_a_forward_replaced_on_an_instance_is_seen():
    net = make()
    net[0].forward = lambda x: x.new_ones(len(x), 4)
    assert torch.equal(run_layers(net, X), net(X))
    net.forward = lambda x: x + 1
    assert torch.equal(call(net, X), X + 1)


def test_a_forward_replaced_on_a_part_is_seen():
    net = make()
    net[2].forward = lambda x: x + 1
    assert torch.equal(call(net, X), net(X))
    assert call(net, X).shape == (2, 4)


def test_functional_calls_are_seen():
    net = make()
    params = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    wrapped = nn.ModuleDict({"net": net})
    wrapped.forward = lambda x: run_layers(net, x)
    called = torch.func.functional_call(wrapped, {f"net.{k}": v for k, v in params.items()}, (X,))
    assert (called == 0).all()
    with TensorDict.from_module(net).apply(torch.zeros_like).to_module(net):
        assert (run_layers(net, X) == 0).all()
    assert torch.equal(run_layers(net, X), net(X))


def test_parametrised_layers():
    net = make()
    parametrizations.weight_norm(net[0])
    assert torch.equal(run_layers(net, X), net(X))


def test_lazy_layers_are_materialised():
    net = nn.Sequential(nn.LazyLinear(4), nn.Tanh())
    assert run_layers(net, X).shape == (2, 4)
    assert type(net[0]) is nn.Linear


class Shift(nn.Module):
    def forward(self, x):
        return x + 1


def test_a_compiled_layer_is_called_compiled():
    net, calls = nn.Sequential(Shift()), []

    def backend(graph, inputs):
        calls.append(len(inputs))
        return graph

    net[0].compile(backend=backend)
    assert torch.equal(run_layers(net, X), X + 1)
    assert calls == [1]


def test_gradients_vmap_and_compile():
    net = MLP(3, 2, num_cells=[4])
    weights = torch.stack([X, X + 1])
    assert torch.allclose(torch.vmap(net)(weights), torch.stack([net(X), net(X + 1)]))
    net(X).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(X), net(X))
