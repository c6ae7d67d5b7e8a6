"""Parameters of ensembles and targets."""

import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.objectives.losses.networks import (
    ensemble_parameters,
    network_parameters,
    reset_parameters,
    target_parameters,
)


def make(net=None):
    return TensorDictModule(net or nn.Linear(3, 2), ["x"], ["y"])


def test_network_parameters_are_the_networks():
    net = make()
    assert network_parameters(net)["module", "weight"] is net.module.weight


def test_ensemble_is_drawn_anew():
    net = make()
    weight = ensemble_parameters(net, 3)["module", "weight"]
    assert weight.shape == (3, 2, 3)
    assert isinstance(weight, nn.Parameter)
    for member in weight:
        assert not torch.equal(member, net.module.weight)
    assert not torch.equal(weight[0], weight[1])


def test_ensemble_of_given_networks_keeps_their_values():
    nets = [make(), make()]
    weight = ensemble_parameters(nets, 2)["module", "weight"]
    torch.testing.assert_close(weight[1], nets[1].module.weight)


def test_shared_parameters_are_left_out():
    params = ensemble_parameters(make(), 2, ["module.weight"])
    assert list(params.keys(True, True)) == [("module", "bias")]


def test_buffers_of_an_ensemble_stay_buffers():
    params = ensemble_parameters(make(nn.BatchNorm1d(3)), 2)
    assert [n for n, _ in params.named_buffers()] == [
        "module.running_mean",
        "module.running_var",
        "module.num_batches_tracked",
    ]


def test_targets_are_buffers():
    params = network_parameters(make())
    target = target_parameters(params)
    assert not list(target.parameters())
    assert len(list(target.buffers())) == 2
    torch.testing.assert_close(target["module", "weight"], params["module", "weight"].detach())
    assert target["module", "weight"].data_ptr() != params["module", "weight"].data_ptr()


def test_reset():
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    before = net[0].weight.clone()
    reset_parameters(net)
    assert not torch.equal(net[0].weight, before)
