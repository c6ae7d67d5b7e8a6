"""LossModule: networks, names, estimators, masks, coefficients."""

import copy
from dataclasses import dataclass

import pytest
import torch
from tensordict import NestedKey, TensorDict
from tensordict.nn import InteractionType, TensorDictModule, dispatch, interaction_type
from torch import nn

from rl.core.errors import MissingKeyError, NotRegisteredError
from rl.objectives import DDPGLoss, DQNLoss, LossModule, SACLoss, SoftUpdate
from rl.objectives.value import GAE, TD0Estimator, TDLambdaEstimator, ValueEstimators


def mode_number(mode):
    return torch.tensor(list(InteractionType).index(mode))


class SquareLoss(LossModule):
    """A custom loss as users write them: networks by name, `forward` on a TensorDict."""

    @dataclass(frozen=True)
    class _AcceptedKeys:
        target: NestedKey = "target"

    def __init__(self, network, *, expand_dim=None, delay=False, **kwargs):
        super().__init__(**kwargs)
        self.convert_to_functional(
            network, "net", expand_dim=expand_dim, create_target_params=delay
        )
        self.register_coeff_buffer("scale", 1.0)

    @dispatch
    def forward(self, tensordict):
        with self.net_params.to_module(self.net):
            value = self.net(tensordict.copy())["value"]
        loss = (value - tensordict[self.tensor_keys.target]).square().squeeze(-1)
        loss = self._reduce(self.scale * loss, self._mask(tensordict))
        return self._output({"loss": loss, "mode": mode_number(interaction_type())})

    def _read_keys(self):
        return [*self.net.in_keys, self.tensor_keys.target]

    def _written_keys(self):
        return ("loss", "mode")


@pytest.fixture
def net():
    return TensorDictModule(nn.Linear(3, 1), ["x"], ["value"])


@pytest.fixture
def data():
    return TensorDict({"x": torch.randn(5, 3), "target": torch.randn(5, 1)}, [5])


# ---------------------------------------------------------------------- networks


def test_an_optimizer_over_the_loss_moves_the_network(net, data):
    loss = SquareLoss(net)
    before = net.module.weight.detach().clone()
    loss(data)["loss"].backward()
    torch.optim.SGD(loss.parameters(), 0.1).step()
    assert not torch.equal(net.module.weight, before)
    assert loss.net_params["module", "weight"] is net.module.weight


def test_a_change_of_the_network_reaches_the_loss(net, data):
    loss = SquareLoss(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    torch.testing.assert_close(loss(data)["loss"], data["target"].square().mean())


def test_the_network_is_not_registered_twice(net):
    loss = SquareLoss(net)
    assert [name for name, _ in loss.named_parameters()] == [
        "net_params.module.weight",
        "net_params.module.bias",
    ]
    assert list(loss.state_dict()) == [
        "scale",
        "net_params.module.weight",
        "net_params.module.bias",
    ]


def test_targets_are_no_parameters(net):
    loss = SquareLoss(net, delay=True)
    assert loss.has_target_params
    assert len(list(loss.parameters())) == 2
    assert "target_net_params.module.weight" in dict(loss.named_buffers())
    assert not loss.target_net_params["module", "weight"].requires_grad


def test_targets_without_delay_are_detached_parameters(net):
    loss = SquareLoss(net)
    target = loss.target_net_params["module", "weight"]
    assert not target.requires_grad
    assert target.data_ptr() == net.module.weight.data_ptr()


def test_targets_do_not_move_with_the_network(net):
    loss = SquareLoss(net, delay=True)
    with torch.no_grad():
        net.module.weight += 1
    difference = loss.net_params["module", "weight"] - loss.target_net_params["module", "weight"]
    torch.testing.assert_close(difference, torch.ones(1, 3))


def test_unknown_attribute(net):
    with pytest.raises(AttributeError):
        SquareLoss(net).target_other_params  # noqa: B018


def test_not_functional(net):
    loss = LossModule()
    loss.convert_to_functional(net, "net", functional=False)
    assert [name for name, _ in loss.named_parameters()] == ["net.module.weight", "net.module.bias"]


def test_state_dict_round_trip(net, data):
    one = SquareLoss(net, delay=True)
    two = SquareLoss(copy.deepcopy(net), delay=True)
    with torch.no_grad():
        net.module.weight += 1
    one.scale = 3.0
    one.target_updater_required = two.target_updater_required = False
    two.load_state_dict(one.state_dict())
    torch.testing.assert_close(two(data)["loss"], one(data)["loss"])
    assert two.net.module.weight is two.net_params["module", "weight"]
    torch.testing.assert_close(dict(two.state_dict()), dict(one.state_dict()))


def test_conversion_reaches_network_and_targets(net, data):
    loss = SquareLoss(net, delay=True).double()
    loss.target_updater_required = False
    assert net.module.weight.dtype is torch.float64
    assert loss.target_net_params["module", "weight"].dtype is torch.float64
    assert loss(data.double())["loss"].dtype is torch.float64


def test_conversion_of_buffers(data):
    net = TensorDictModule(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), ["x"], ["value"])
    loss = SquareLoss(net).double()
    assert net.module[0].running_mean.dtype is torch.float64
    loss(data.double())
    running = loss.net_params["module", "0", "running_mean"]
    torch.testing.assert_close(running, net.module[0].running_mean)
    assert running.abs().sum() > 0


@pytest.mark.parametrize("size", [2, 5])
def test_ensemble_equals_its_members(net, data, size):
    loss = SquareLoss(net, expand_dim=size, delay=True)
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


def test_ensemble_gradients(net, data):
    loss = SquareLoss(net, expand_dim=2)
    loss._call_ensemble("net", data, "value").sum().backward()
    grad = loss.net_params["module", "bias"].grad
    torch.testing.assert_close(grad, torch.full((2, 1), 5.0))
    assert net.module.bias.grad is None


def test_ensemble_follows_the_training_mode(data):
    net = TensorDictModule(nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1)), ["x"], ["value"])
    loss = SquareLoss(net, expand_dim=2)
    first = loss._call_ensemble("net", data, "value")
    assert not torch.equal(first, loss._call_ensemble("net", data, "value"))
    net.eval()
    first = loss._call_ensemble("net", data, "value")
    torch.testing.assert_close(first, loss._call_ensemble("net", data, "value"))


def test_a_loss_that_ran_can_be_copied(net, data):
    loss = SquareLoss(net, expand_dim=2, delay=True)
    before = loss._call_ensemble("net", data, "value")
    twin = copy.deepcopy(loss)
    torch.testing.assert_close(twin._call_ensemble("net", data, "value"), before)
    with torch.no_grad():
        twin.net_params["module", "bias"].add_(1)
    torch.testing.assert_close(loss._call_ensemble("net", data, "value"), before)


def test_get_stateful_net(net):
    loss = SquareLoss(net)
    assert loss.get_stateful_net("net") is net
    twin = loss.get_stateful_net("net", copy=True)
    torch.testing.assert_close(twin.module.weight, net.module.weight)
    assert twin.module.weight is not net.module.weight
    ensemble = SquareLoss(net, expand_dim=2)
    with pytest.raises(ValueError, match="index `net_params`"):
        ensemble.get_stateful_net("net")


def test_from_stateful_net(net):
    loss = SquareLoss(net)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.module.weight += 1
    loss.from_stateful_net("net", other)
    torch.testing.assert_close(net.module.weight, other.module.weight)


def test_reset_parameters_recursive(net):
    for size in (None, 2):
        loss = SquareLoss(net, expand_dim=size, delay=True)
        before = loss.net_params["module", "weight"].detach().clone()
        loss.reset_parameters_recursive()
        after = loss.net_params["module", "weight"]
        assert not torch.equal(after, before)
        torch.testing.assert_close(loss.target_net_params["module", "weight"], after.detach())


# ----------------------------------------------------------------- calls and names


def test_forward_runs_in_the_sampling_mode(net, data):
    loss = SquareLoss(net)
    assert loss(data)["mode"] == mode_number(InteractionType.DETERMINISTIC)
    loss.deterministic_sampling_mode = InteractionType.RANDOM
    assert loss(data)["mode"] == mode_number(InteractionType.RANDOM)


def test_keyword_call_returns_a_tuple(net, data):
    loss = SquareLoss(net)
    value, mode = loss(x=data["x"], target=data["target"])
    torch.testing.assert_close(value, loss(data)["loss"])
    assert mode == mode_number(InteractionType.DETERMINISTIC)
    loss.select_out_keys("loss")
    assert loss(x=data["x"], target=data["target"]).shape == ()
    assert list(loss(data).keys()) == ["loss"]
    loss.reset_out_keys()
    assert loss.out_keys == ["loss", "mode"]


def test_select_unknown_out_key(net):
    with pytest.raises(ValueError, match="Did you mean `loss`"):
        SquareLoss(net).select_out_keys("los")


def test_set_keys(net, data):
    loss = SquareLoss(net)
    expected = loss(data)["loss"]
    loss.set_keys(target=("nested", "aim"))
    assert loss.tensor_keys.target == ("nested", "aim")
    assert loss.in_keys == ["x", ("nested", "aim")]
    data["nested", "aim"] = data.pop("target")
    torch.testing.assert_close(loss(data)["loss"], expected)
    loss.set_keys(target=None)
    assert loss.tensor_keys.target == "target"


def test_set_unknown_key(net):
    with pytest.raises(
        ValueError,
        match=r"`targe` is no key of SquareLoss.*Did you mean `target`.*accepts: `target`",
    ):
        SquareLoss(net).set_keys(targe="x")


def test_keys_are_read_only(net):
    with pytest.raises(AttributeError):
        SquareLoss(net).tensor_keys.target = "x"


def test_output_has_no_batch_dimension(net, data):
    assert SquareLoss(net, reduction="none")(data).batch_size == ()


# ------------------------------------------------------------------------- masks


def test_mask_is_found(net, data):
    full = SquareLoss(net)(data[:3])["loss"]
    data["collector", "mask"] = torch.tensor([True, True, True, False, True])
    data["shifted_valid"] = torch.tensor([True, True, True, True, False]).unsqueeze(-1)
    data["x"][3:] = float("nan")
    torch.testing.assert_close(SquareLoss(net)(data)["loss"], full)
    assert SquareLoss(net, loss_mask_key=None)(data)["loss"].isnan()


def test_mask_by_name(net, data):
    loss = SquareLoss(net, loss_mask_key="valid")
    with pytest.raises(MissingKeyError, match="`loss_mask_key` names it"):
        loss(data)
    data["valid"] = torch.tensor([True, False, False, False, False])
    torch.testing.assert_close(loss(data)["loss"], SquareLoss(net)(data[:1])["loss"])


# ----------------------------------------------------------------- coefficients


def test_assigning_a_coefficient_writes_in_place(net, data):
    loss = SquareLoss(net)
    buffer, before = loss.scale, loss(data)["loss"]
    loss.scale = 3.0
    assert loss.scale is buffer
    torch.testing.assert_close(loss(data)["loss"], 3 * before)


# ------------------------------------------------------------------ value estimator


def test_default_estimator(qactor):
    loss = DQNLoss(qactor)
    assert isinstance(loss.value_estimator, TD0Estimator)
    assert loss.value_estimator.gamma == 0.99
    assert DQNLoss(qactor, gamma=0.5).value_estimator.gamma == 0.5


@pytest.mark.parametrize(
    "value_type", [ValueEstimators.TDLambda, "TDLambda", "tdlambda", TDLambdaEstimator]
)
def test_make_value_estimator(qactor, value_type):
    loss = DQNLoss(qactor)
    assert loss.make_value_estimator(value_type, gamma=0.7, lmbda=0.8) is loss
    assert isinstance(loss.value_estimator, TDLambdaEstimator)
    assert (loss.value_estimator.gamma, loss.value_estimator.lmbda) == (0.7, 0.8)
    assert loss.value_type == value_type


def test_make_value_estimator_from_an_instance(qactor):
    estimator = TD0Estimator(gamma=0.3, value_network=None)
    assert DQNLoss(qactor).make_value_estimator(estimator).value_estimator is estimator


def test_new_gamma_keeps_the_default_type(qactor):
    loss = DQNLoss(qactor).make_value_estimator(gamma=0.3)
    assert isinstance(loss.value_estimator, TD0Estimator)
    assert loss.value_estimator.gamma == 0.3


def test_unknown_estimator(qactor):
    with pytest.raises(NotRegisteredError, match="Did you mean `TD0`"):
        DQNLoss(qactor).make_value_estimator("TD00")


def test_estimator_follows_the_names_of_the_loss(qactor):
    loss = DQNLoss(qactor)
    loss.set_keys(reward=("agents", "reward"))
    assert loss.value_estimator.tensor_keys.reward == ("agents", "reward")
    loss.make_value_estimator("TD0", gamma=0.1)
    assert loss.value_estimator.tensor_keys.reward == ("agents", "reward")


def test_estimator_is_not_saved(qactor):
    loss = DQNLoss(qactor)
    loss.make_value_estimator(GAE(gamma=torch.tensor(0.9), lmbda=0.9, value_network=qactor))
    names = [name.split(".")[0] for name in loss.state_dict()]
    assert set(names) == {"value_network_params", "target_value_network_params"}


def test_gamma_buffer_moves_with_the_loss(qactor):
    loss = DQNLoss(qactor).make_value_estimator("TD0", gamma=torch.tensor(0.9))
    loss.double()
    assert loss.value_estimator.gamma.dtype is torch.float64


# ----------------------------------------------------------------- target updater


def test_a_loss_with_targets_and_no_updater_warns_once(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=True)
    with pytest.warns(UserWarning, match=r"build `SoftUpdate\(loss, tau=0.005\)`"):
        loss(discrete_batch)
    loss(discrete_batch)  # warnings are errors here


def test_no_warning_with_an_updater_or_in_evaluation(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=True)
    with torch.no_grad():
        loss(discrete_batch)
    loss.eval()(discrete_batch)
    loss.train()
    SoftUpdate(loss, tau=0.1)
    loss(discrete_batch)


def test_opting_out_of_the_updater(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=True)
    loss.target_updater_required = False
    loss(discrete_batch)


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


def test_vmap_randomness(squashed_actor, data):
    net = TensorDictModule(nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1)), ["x"], ["value"])
    loss = SquareLoss(net, expand_dim=5)
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
