"""REINFORCE."""

import torch
from torch import nn
from torch.distributions import Normal

from rl.objectives import ReinforceLoss, SoftUpdate
from rl.objectives.value import GAE


def test_values_by_hand(actor, critic, on_policy):
    loss = ReinforceLoss(actor, critic)
    losses = loss(on_policy)
    log_prob = Normal(*actor[0].module(on_policy["observation"])).log_prob(on_policy["action"])
    expected = -(log_prob.sum(-1) * on_policy["advantage"].squeeze(-1)).mean()
    torch.testing.assert_close(losses["loss_actor"], expected)
    value = critic.module(on_policy["observation"])
    torch.testing.assert_close(
        losses["loss_value"], nn.functional.smooth_l1_loss(value, on_policy["value_target"])
    )
    assert set(losses.keys()) == set(loss.out_keys)


def test_without_baseline(actor, on_policy):
    loss = ReinforceLoss(actor)
    assert list(loss(on_policy).keys()) == loss.out_keys == ["loss_actor"]


def test_delayed_baseline_values_the_next_states(actor, critic, trajectories):
    loss = ReinforceLoss(actor, critic, delay_value=True)
    SoftUpdate(loss, tau=0.1)
    for leaf in loss.target_critic_network_params.values(True, True):
        leaf.zero_()
    losses = loss(trajectories)
    GAE(gamma=0.99, lmbda=0.95, value_network=critic)(
        trajectories, target_params=loss.target_critic_network_params
    )
    assert (trajectories["next", "state_value"] == 0).all()
    torch.testing.assert_close(losses["loss_actor"], loss(trajectories)["loss_actor"])


def test_compiled_equals_eager(actor, critic, on_policy, compiled):
    loss = ReinforceLoss(actor, critic)
    for key, value in compiled(loss)(on_policy).items():
        torch.testing.assert_close(value, loss(on_policy)[key], msg=key)
