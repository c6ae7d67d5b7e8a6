"""Losses over networks of groups of agents."""

import copy

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import nn

from rl.core.modules import MultiAgentMLP, ProbabilisticActor, TanhNormal
from rl.objectives import ClipPPOLoss, DDPGLoss, SACLoss, SoftUpdate

AGENTS = 3


def group(**leaves):
    return TensorDict(leaves, batch_size=[7, AGENTS])


def network(inputs, outputs, share_params, centralized=False):
    return MultiAgentMLP(
        inputs,
        outputs,
        AGENTS,
        centralized=centralized,
        share_params=share_params,
        depth=1,
        num_cells=8,
    )


def stochastic(share_params):
    net = nn.Sequential(network(6, 4, share_params), NormalParamExtractor())
    return ProbabilisticActor(
        TensorDictModule(net, ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        distribution_class=TanhNormal,
        return_log_prob=True,
    )


@pytest.fixture
def data():
    torch.manual_seed(0)
    ends = {name: torch.zeros(7, AGENTS, 1, dtype=torch.bool) for name in ("done", "terminated")}
    rest = group(observation=torch.randn(7, AGENTS, 6), reward=torch.randn(7, AGENTS, 1), **ends)
    return group(
        observation=torch.randn(7, AGENTS, 6), action=torch.rand(7, AGENTS, 2) * 2 - 1, next=rest
    )


def total(losses):
    return sum(value for key, value in losses.items() if key.startswith("loss_"))


def check_every_parameter_learns(loss, data):
    total(loss(data)).backward()
    idle = [n for n, p in loss.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@pytest.mark.parametrize("share_params", [False, True])
def test_clip_ppo(share_params, data):
    actor = stochastic(share_params)
    critic = network(6, 1, share_params, centralized=True)
    critic = TensorDictModule(critic, ["observation"], ["state_value"])
    data = actor(data).detach()
    data["advantage"], data["value_target"] = torch.randn(2, 7, AGENTS, 1)
    check_every_parameter_learns(ClipPPOLoss(actor, critic), data)


@pytest.mark.parametrize("share_params", [False, True])
@pytest.mark.parametrize("num_qvalue_nets", [2, 4])
def test_sac_stacks_networks_of_stacked_networks(share_params, num_qvalue_nets, data):
    critic = TensorDictModule(
        network(8, 1, share_params), ["observation", "action"], ["state_action_value"]
    )
    loss = SACLoss(
        stochastic(share_params), critic, num_qvalue_nets=num_qvalue_nets, target_entropy=-2.0
    )
    SoftUpdate(loss, tau=0.1)
    weight = loss.qvalue_network_params["module", "agents", "0", "weight"]
    members = num_qvalue_nets * (1 if share_params else AGENTS)
    assert weight.flatten(0, -3).unique(dim=0).shape[0] == members, "each is drawn apart"
    check_every_parameter_learns(loss, data)


def test_targets_follow(data):
    actor = TensorDictModule(network(6, 2, False), ["observation"], ["action"])
    critic = TensorDictModule(
        network(8, 1, False), ["observation", "action"], ["state_action_value"]
    )
    loss = DDPGLoss(actor, critic)
    updater = SoftUpdate(loss, tau=0.5)
    before = loss.target_value_network_params["module", "agents", "0", "weight"].clone()
    check_every_parameter_learns(loss, data)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter += 1
    updater.step()
    after = loss.target_value_network_params["module", "agents", "0", "weight"]
    torch.testing.assert_close(after, before + 0.5)


def test_a_copy_of_a_loss_is_a_loss_of_its_own(data):
    actor = stochastic(False)
    critic = TensorDictModule(network(6, 1, False), ["observation"], ["state_value"])
    loss = ClipPPOLoss(actor, critic)
    data = actor(data).detach()
    data["advantage"], data["value_target"] = torch.randn(2, 7, AGENTS, 1)
    other = copy.deepcopy(loss)
    want = loss(data)["loss_objective"].detach()
    torch.testing.assert_close(other(data)["loss_objective"], want)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 1
    torch.testing.assert_close(loss(data)["loss_objective"], want)
