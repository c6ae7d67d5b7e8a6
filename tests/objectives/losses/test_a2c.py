"""Advantage actor-critic."""

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from rl.core.errors import MissingKeyError, ShapeError
from rl.objectives import A2CLoss


def test_values_by_hand(actor, critic, on_policy):
    loss = A2CLoss(actor, critic, entropy_coeff=0.3, critic_coeff=0.7, loss_critic_type="l2")
    losses = loss(on_policy)
    dist = Normal(*actor[0].module(on_policy["observation"]))
    log_prob = dist.log_prob(on_policy["action"]).sum(-1)
    value = critic.module(on_policy["observation"])
    expected = {
        "loss_objective": -(log_prob * on_policy["advantage"].squeeze(-1)).mean(),
        "loss_critic": 0.7 * nn.functional.mse_loss(value, on_policy["value_target"]),
        "loss_entropy": -0.3 * dist.entropy().sum(-1).mean(),
        "entropy": dist.entropy().sum(-1).mean(),
    }
    assert set(losses.keys()) == set(expected) == set(loss.out_keys)
    for key, number in expected.items():
        torch.testing.assert_close(losses[key], number, msg=key)


def test_it_needs_no_log_prob(actor, critic, on_policy):
    del on_policy["action_log_prob"]
    loss = A2CLoss(actor, critic)
    assert loss(on_policy)["loss_objective"].isfinite()
    assert "action_log_prob" not in loss.in_keys


def test_actor_alone(actor, on_policy):
    losses = A2CLoss(actor, entropy_bonus=False)(on_policy.exclude("value_target"))
    assert list(losses.keys()) == ["loss_objective"]


def test_names_of_advantage_and_target(actor, critic, on_policy):
    expected = A2CLoss(actor, critic)(on_policy)["loss_critic"]
    on_policy.rename_key_("advantage", "adv").rename_key_("value_target", "aim")
    losses = A2CLoss(actor, critic, advantage_key="adv", value_target_key="aim")(on_policy)
    torch.testing.assert_close(losses["loss_critic"], expected)


def test_clip_value_metric(actor, critic, on_policy):
    on_policy["state_value"] = torch.zeros(16, 1)
    loss = A2CLoss(actor, critic, clip_value=0.1)
    assert set(loss(on_policy).keys()) == set(loss.out_keys)


def test_errors(actor, critic, on_policy):
    with pytest.raises(MissingKeyError, match=r"run `GAE\("):
        A2CLoss(actor, critic)(on_policy.exclude("advantage"))
    on_policy["advantage"] = on_policy["advantage"].squeeze(-1)
    with pytest.raises(ShapeError, match=r"`advantage.unsqueeze\(-1\)`"):
        A2CLoss(actor, critic)(on_policy)


def test_compiled_equals_eager(actor, critic, on_policy, compiled):
    loss = A2CLoss(actor, critic)
    for key, value in compiled(loss)(on_policy).items():
        torch.testing.assert_close(value, loss(on_policy)[key], msg=key)
