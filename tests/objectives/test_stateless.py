"""Calls with parameters of one's own."""

import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.objectives.stateless import StatelessNetwork, call_with, flat_parameters, inputs_of


def make(net):
    module = TensorDictModule(net, ["x"], ["y"])
    return module, flat_parameters(TensorDict.from_module(module))


def data():
    return TensorDict({"x": torch.ones(4, 5, 3)}, [4, 5])


def test_flat_parameters():
    _, params = make(nn.Linear(3, 2))
    assert sorted(params) == ["module.bias", "module.weight"]


def test_call_with():
    module, params = make(nn.Linear(3, 2))
    zero = {name: torch.zeros_like(p) for name, p in params.items()}
    assert call_with(module, zero, data())["y"].abs().sum() == 0
    torch.testing.assert_close(call_with(module, None, data())["y"], module(data())["y"])
    nested = TensorDict.from_module(module)
    torch.testing.assert_close(call_with(module, nested, data())["y"], module(data())["y"])


def test_inputs_of_leaves_the_batch():
    batch = data()
    inputs = inputs_of(batch, ["x", "missing"])
    inputs["z"] = torch.ones(4, 5)
    assert list(batch.keys()) == ["x"]


def test_stateless_network_does_not_touch_the_network():
    module, params = make(nn.Linear(3, 2))
    stateless = StatelessNetwork(module, params)
    zero = {name: torch.zeros_like(p) for name, p in params.items()}
    assert stateless(zero, data())["y"].abs().sum() == 0
    torch.testing.assert_close(stateless(params, data())["y"], module(data())["y"])
    assert module.module.weight is params["module.weight"]


def test_gradients_reach_what_was_given():
    module, params = make(nn.Linear(3, 2))
    given = {name: (2 * p.detach()).requires_grad_() for name, p in params.items()}
    StatelessNetwork(module, params)(given, data())["y"].sum().backward()
    assert given["module.bias"].grad.tolist() == [20.0, 20.0]
    assert module.module.bias.grad is None


def test_recurrent_network():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 2, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    net = Recurrent()
    module, params = make(net)
    stateless = StatelessNetwork(module, params)
    x = data()["x"]
    with torch.no_grad():
        inner = TensorDict({"x": x}, [4])
        doubled = {name: 2 * p for name, p in params.items()}
        result = stateless(doubled, inner.copy())["y"]
        for parameter in net.parameters():
            parameter.mul_(2)
        torch.testing.assert_close(result, net(x))


def test_buffers_are_given_too():
    module, params = make(nn.BatchNorm1d(3))
    stateless = StatelessNetwork(module, params)
    given = {name: p.detach().clone() for name, p in params.items()}
    stateless(given, TensorDict({"x": torch.ones(4, 3)}, [4]))
    assert given["module.num_batches_tracked"] == 1
    assert module.module.num_batches_tracked == 0


def test_training_flags_follow():
    module, params = make(nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2)))
    stateless = StatelessNetwork(module, params)
    module.module[0].eval()
    torch.testing.assert_close(stateless(params, data())["y"], module(data())["y"])
