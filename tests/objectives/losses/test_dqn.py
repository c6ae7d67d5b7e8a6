"""Deep Q-learning."""

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.modules import QValueActor
from rl.core.specs import MultiOneHot
from rl.objectives import DQNLoss, SoftUpdate


def spread(loss):
    """Give the delayed copy other values than the network, and an updater to the loss."""
    SoftUpdate(loss, tau=0.1)
    for leaf in loss.target_value_network_params.values(True, True):
        leaf.mul_(0.5).add_(0.1)


def target_values(loss, observation):
    params = loss.target_value_network_params
    flat = {".".join(k): v for k, v in params.items(True, True)}
    names = [n for n, _ in loss.value_network.named_parameters()]
    assert set(names) == set(flat)
    net = loss.value_network
    data = torch.func.functional_call(net, flat, (observation,))
    return data["action_value"]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", ["actor", "plain", "module"])
def test_values_by_hand(qactor, discrete_batch, double, kind):
    net = {"actor": qactor, "plain": qactor[0].module}.get(kind) or TensorDictModule(
        qactor[0].module, ["observation"], ["action_value"]
    )
    loss = DQNLoss(net, action_space="one_hot", double_dqn=double)
    spread(loss)
    step = discrete_batch["next"]
    online = qactor[0].module(step["observation"])
    delayed = target_values(loss, step.select("observation"))
    best = online.argmax(-1) if double else delayed.argmax(-1)
    following = delayed.gather(-1, best.unsqueeze(-1))
    target = step["reward"] + 0.99 * following * ~step["terminated"]
    value = (
        qactor[0]
        .module(discrete_batch["observation"])
        .gather(-1, discrete_batch["action"].argmax(-1, keepdim=True))
    )
    error = (value - target.detach()).squeeze(-1)
    result = loss(discrete_batch)
    torch.testing.assert_close(result["loss"], error.square().mean())
    torch.testing.assert_close(discrete_batch["td_error"], error.abs().detach())
    assert list(result.keys()) == loss.out_keys == ["loss"]


def test_no_delay_bootstraps_from_the_network_itself(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=False)
    assert not loss.has_target_params
    result = loss(discrete_batch)["loss"]
    delayed = DQNLoss(qactor, delay_value=True)
    SoftUpdate(delayed)
    torch.testing.assert_close(result, delayed(discrete_batch)["loss"])


@pytest.mark.parametrize("shape", [(16,), (16, 1)])
def test_categorical(qactor, discrete_batch, shape):
    expected = DQNLoss(qactor, action_space="one_hot", delay_value=False)(discrete_batch)["loss"]
    discrete_batch["action"] = discrete_batch["action"].argmax(-1).view(shape)
    net = qactor[0].module
    loss = DQNLoss(net, action_space="categorical", delay_value=False)
    torch.testing.assert_close(loss(discrete_batch)["loss"], expected)


@pytest.mark.parametrize("double", [False, True])
def test_several_variables(discrete_batch, double):
    spec = MultiOneHot([2, 2])
    net = QValueActor(nn.Linear(3, 4), in_keys=["observation"], spec=spec)
    discrete_batch["action"] = torch.tensor([[1, 0, 0, 1]]).expand(16, 4)
    loss = DQNLoss(net, action_space=spec, double_dqn=double)
    SoftUpdate(loss)
    step = discrete_batch["next"]
    best = net[0].module(step["observation"]).view(16, 2, 2).amax(-1).sum(-1)
    target = step["reward"].squeeze(-1) + 0.99 * best * ~step["terminated"].squeeze(-1)
    value = net[0].module(discrete_batch["observation"])[:, [0, 3]].sum(-1)
    expected = (value - target.detach()).square().mean()
    torch.testing.assert_close(loss(discrete_batch)["loss"], expected)


def test_priority_weights(qactor, discrete_batch):
    each = DQNLoss(qactor, delay_value=False, reduction="none")(discrete_batch)["loss"]
    weights = torch.rand(16)
    discrete_batch["priority_weight"] = weights
    loss = DQNLoss(qactor, delay_value=False)
    torch.testing.assert_close(loss(discrete_batch)["loss"], (each * weights).sum() / weights.sum())
    loss = DQNLoss(qactor, delay_value=False, use_prioritized_weights=False)
    torch.testing.assert_close(loss(discrete_batch)["loss"], each.mean())
    loss = DQNLoss(qactor, delay_value=False, use_prioritized_weights=True)
    with pytest.raises(MissingKeyError, match="`use_prioritized_weights=True` asks for it"):
        loss(discrete_batch.exclude("priority_weight"))


def test_priority_key(qactor, discrete_batch):
    DQNLoss(qactor, delay_value=False, priority_key="p")(discrete_batch)
    assert discrete_batch["p"].shape == (16,)


def test_lambda_returns(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=False).make_value_estimator("TDLambda", lmbda=0.0)
    one_step = DQNLoss(qactor, delay_value=False)(discrete_batch.clone())["loss"]
    torch.testing.assert_close(loss(discrete_batch)["loss"], one_step)
    loss.make_value_estimator("TDLambda", lmbda=0.9)
    assert not torch.isclose(loss(discrete_batch)["loss"], one_step)


def test_nan_beyond_a_terminal_state_is_harmless(qactor, discrete_batch):
    expected = DQNLoss(qactor, delay_value=False)(discrete_batch)["loss"]
    ended = discrete_batch["next", "terminated"].squeeze(-1)
    discrete_batch["next", "observation"][ended] = float("nan")
    loss = DQNLoss(qactor[0].module, action_space="one_hot", delay_value=False)
    torch.testing.assert_close(loss(discrete_batch)["loss"], expected)


def test_integer_action_in_a_one_hot_space(qactor, discrete_batch):
    discrete_batch["action"] = discrete_batch["action"].argmax(-1, keepdim=True)
    loss = DQNLoss(qactor, action_space="one_hot", delay_value=False)
    with pytest.raises(ShapeError, match=r"\[16, 1\] and dtype torch.int64.*\"categorical\""):
        loss(discrete_batch)


def test_unknown_action_space(discrete_batch):
    with pytest.raises(RLError, match="pass the env's action spec"):
        DQNLoss(nn.Linear(3, 4))


def test_double_needs_a_delayed_copy(qactor):
    with pytest.raises(ValueError, match="pass `delay_value=True`"):
        DQNLoss(qactor, double_dqn=True, delay_value=False)


def test_network_that_writes_no_action_value():
    net = TensorDictModule(nn.Linear(3, 4), ["observation"], ["q"])
    with pytest.raises(MissingKeyError, match=r"`set_keys\(action_value=...\)`"):
        DQNLoss(net, action_space="one_hot")


def test_keyword_call(qactor, discrete_batch):
    loss = DQNLoss(qactor, delay_value=False)
    step = discrete_batch["next"]
    result = loss(
        observation=discrete_batch["observation"],
        action=discrete_batch["action"],
        next_observation=step["observation"],
        next_reward=step["reward"],
        next_done=step["done"],
        next_terminated=step["terminated"],
    )
    torch.testing.assert_close(result, loss(discrete_batch)["loss"])


@pytest.mark.parametrize("double", [False, True])
def test_compiled_equals_eager(qactor, discrete_batch, compiled, double):
    loss = DQNLoss(qactor, double_dqn=double)
    SoftUpdate(loss)
    expected = loss(discrete_batch)["loss"]
    torch.testing.assert_close(compiled(loss)(discrete_batch)["loss"], expected)
