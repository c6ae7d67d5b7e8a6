"""The networks of a loss."""

import copy

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.objectives import DDPGLoss, LossModule, SACLoss


def test_an_optimizer_over_the_loss_moves_the_network(square_loss, net, data):
    loss = square_loss(net)
    before = net.module.weight.detach().clone()
    loss(data)["loss"].backward()
    torch.optim.SGD(loss.parameters(), 0.1).step()
    assert not torch.equal(net.module.weight, before)
    assert loss.net_params["module", "weight"] is net.module.weight


def test_a_change_of_the_network_reaches_the_loss(square_loss, net, data):
    loss = square_loss(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    torch.testing.assert_close(loss(data)["loss"], data["target"].square().mean())


def test_the_network_is_not_registered_twice(square_loss, net):
    loss = square_loss(net)
    assert [name for name, _ in loss.named_parameters()] == [
        "net_params.module.weight",
        "net_params.module.bias",
    ]
    assert list(loss.state_dict()) == [
        "scale",
        "net_params.module.weight",
        "net_params.module.bias",
    ]


def test_targets_are_no_parameters(square_loss, net):
    loss = square_loss(net, delay=True)
    assert loss.has_target_params
    assert len(list(loss.parameters())) == 2
    assert "target_net_params.module.weight" in dict(loss.named_buffers())
    assert not loss.target_net_params["module", "weight"].requires_grad


def test_targets_without_delay_are_detached_parameters(square_loss, net):
    loss = square_loss(net)
    target = loss.target_net_params["module", "weight"]
    assert not target.requires_grad
    assert target.data_ptr() == net.module.weight.data_ptr()


def test_targets_do_not_move_with_the_network(square_loss, net):
    loss = square_loss(net, delay=True)
    with torch.no_grad():
        net.module.weight += 1
    difference = loss.net_params["module", "weight"] - loss.target_net_params["module", "weight"]
    torch.testing.assert_close(difference, torch.ones(1, 3))


def test_unknown_attribute(square_loss, net):
    with pytest.raises(AttributeError):
        square_loss(net).target_other_params  # noqa: B018


def test_not_functional(net):
    loss = LossModule()
    loss.convert_to_functional(net, "net", functional=False)
    assert [name for name, _ in loss.named_parameters()] == ["net.module.weight", "net.module.bias"]


def test_state_dict_round_trip(square_loss, net, data):
    one = square_loss(net, delay=True)
    two = square_loss(copy.deepcopy(net), delay=True)
    with torch.no_grad():
        net.module.weight += 1
    one.scale = 3.0
    one.target_updater_required = two.target_updater_required = False
    two.load_state_dict(one.state_dict())
    torch.testing.assert_close(two(data)["loss"], one(data)["loss"])
    assert two.net.module.weight is two.net_params["module", "weight"]
    torch.testing.assert_close(dict(two.state_dict()), dict(one.state_dict()))


def test_conversion_reaches_network_and_targets(square_loss, net, data):
    loss = square_loss(net, delay=True).double()
    loss.target_updater_required = False
    assert net.module.weight.dtype is torch.float64
    assert loss.target_net_params["module", "weight"].dtype is torch.float64
    assert loss(data.double())["loss"].dtype is torch.float64


def test_conversion_of_buffers(square_loss, data):
    net = TensorDictModule(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), ["x"], ["value"])
    loss = square_loss(net).double()
    assert net.module[0].running_mean.dtype is torch.float64
    loss(data.double())
    running = loss.net_params["module", "0", "running_mean"]
    torch.testing.assert_close(running, net.module[0].running_mean)
    assert running.abs().sum() > 0


@pytest.mark.parametrize("size", [2, 5])
def test_ensemble_equals_its_members(square_loss, net, data, size):
    loss = square_loss(net, expand_dim=size, delay=True)
    expected = torch.stack(
        [
            nn.functional.linear(data["x"], weight, bias)
            for weight, bias in zip(
                loss.net_params["module", "weight"], loss.net_params["module", "bias"], strict=True
            )
        ]
    )
    torch.testing.assert_close(loss._call_ensemble("net", data, "value"), expected)
    loss.deactivate_vmap = True
    torch.testing.assert_close(loss._call_ensemble("net", data, "value"), expected)
    detached = loss._call_ensemble("net", data, "value", detach=True)
    torch.testing.assert_close(detached, expected.detach())
    assert not detached.requires_grad
    assert "value" not in data


def test_ensemble_gradients(square_loss, net, data):
    loss = square_loss(net, expand_dim=2)
    loss._call_ensemble("net", data, "value").sum().backward()
    grad = loss.net_params["module", "bias"].grad
    torch.testing.assert_close(grad, torch.full((2, 1), 5.0))
    assert net.module.bias.grad is None


def test_ensemble_follows_the_training_mode(square_loss, data):
    net = TensorDictModule(nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1)), ["x"], ["value"])
    loss = square_loss(net, expand_dim=2)
    first = loss._call_ensemble("net", data, "value")
    assert not torch.equal(first, loss._call_ensemble("net", data, "value"))
    net.eval()
    first = loss._call_ensemble("net", data, "value")
    torch.testing.assert_close(first, loss._call_ensemble("net", data, "value"))


def test_a_loss_that_ran_can_be_copied(square_loss, net, data):
    loss = square_loss(net, expand_dim=2, delay=True)
    before = loss._call_ensemble("net", data, "value")
    twin = copy.deepcopy(loss)
    torch.testing.assert_close(twin._call_ensemble("net", data, "value"), before)
    with torch.no_grad():
        twin.net_params["module", "bias"].add_(1)
    torch.testing.assert_close(loss._call_ensemble("net", data, "value"), before)


def test_get_stateful_net(square_loss, net):
    loss = square_loss(net)
    assert loss.get_stateful_net("net") is net
    twin = loss.get_stateful_net("net", copy=True)
    torch.testing.assert_close(twin.module.weight, net.module.weight)
    assert twin.module.weight is not net.module.weight
    ensemble = square_loss(net, expand_dim=2)
    with pytest.raises(ValueError, match="index `net_params`"):
        ensemble.get_stateful_net("net")


def test_from_stateful_net(square_loss, net):
    loss = square_loss(net)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.module.weight += 1
    loss.from_stateful_net("net", other)
    torch.testing.assert_close(net.module.weight, other.module.weight)


def test_reset_parameters_recursive(square_loss, net):
    for size in (None, 2):
        loss = square_loss(net, expand_dim=size, delay=True)
        before = loss.net_params["module", "weight"].detach().clone()
        loss.reset_parameters_recursive()
        after = loss.net_params["module", "weight"]
        assert not torch.equal(after, before)
        torch.testing.assert_close(loss.target_net_params["module", "weight"], after.detach())


def test_shared_parameters_count_once():
    trunk = TensorDictModule(nn.Linear(3, 3), ["observation"], ["hidden"])
    from_trunk = nn.Linear(3, 2)
    actor = TensorDictModule(nn.Sequential(trunk.module, from_trunk), ["observation"], ["action"])

    class Value(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.head = trunk.module, nn.Linear(5, 1)

        def forward(self, observation, action):
            return self.head(torch.cat([self.trunk(observation), action], -1))

    critic = TensorDictModule(Value(), ["observation", "action"], ["state_action_value"])
    loss = DDPGLoss(actor, critic)
    assert len(list(loss.parameters())) == 6
    assert loss.actor_network_params["module", "0", "weight"] is trunk.module.weight


def test_vmap_randomness(square_loss, squashed_actor, data):
    net = TensorDictModule(nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1)), ["x"], ["value"])
    loss = square_loss(net, expand_dim=5)
    loss.set_vmap_randomness("error")
    with pytest.raises(RuntimeError, match="randomness"):
        loss._call_ensemble("net", data, "value")
    loss.set_vmap_randomness("same")
    assert loss._call_ensemble("net", data, "value").shape == (5, 5, 1)


def test_list_of_critics(squashed_actor, qvalue):
    critics = [qvalue, copy.deepcopy(qvalue), copy.deepcopy(qvalue)]
    loss = SACLoss(squashed_actor, critics, target_entropy=-2.0)
    assert loss.num_qvalue_nets == 3
    first = next(iter(loss.qvalue_network_params.values(True, True)))
    assert first.shape[0] == 3
    torch.testing.assert_close(first[0], first[1])
