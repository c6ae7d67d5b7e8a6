"""Clipped PPO."""

import pytest
import torch
from torch.distributions import Normal

from rl.objectives import ClipPPOLoss, PPOLoss


def ratio_of(actor, data):
    loc, scale = actor[0].module(data["observation"])
    return (Normal(loc, scale).log_prob(data["action"]).sum(-1) - data["action_log_prob"]).exp()


@pytest.mark.parametrize("epsilon", [0.05, (0.02, 0.1)])
def test_values_and_gradients_by_hand(actor, critic, on_policy, epsilon):
    low, high = epsilon if isinstance(epsilon, tuple) else (epsilon, epsilon)
    ratio = ratio_of(actor, on_policy)
    advantage = on_policy["advantage"].squeeze(-1)
    clipped = ratio.clamp(1 - low, 1 + high)
    expected = -torch.min(ratio * advantage, clipped * advantage).mean()
    losses = ClipPPOLoss(actor, critic, clip_epsilon=epsilon)(on_policy)
    torch.testing.assert_close(losses["loss_objective"], expected)
    parameters = list(actor.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(losses["loss_objective"], parameters),
        torch.autograd.grad(expected, parameters),
    )
    is_clipped = (ratio < 1 - low) | (ratio > 1 + high)
    assert 0 < is_clipped.float().mean() < 1
    torch.testing.assert_close(losses["clip_fraction"], is_clipped.float().mean())
    torch.testing.assert_close(losses["ESS"], ratio.sum() ** 2 / ratio.square().sum() / 16)
    torch.testing.assert_close(losses["max_ratio"], ratio.max())
    torch.testing.assert_close(losses["mean_ratio"], ratio.mean())
    for key in ("clip_fraction", "ESS", "max_ratio", "mean_ratio"):
        assert not losses[key].requires_grad


def test_on_policy_data_is_not_clipped(actor, critic, on_policy):
    with torch.no_grad():
        on_policy["action_log_prob"] += ratio_of(actor, on_policy).log()
    losses = ClipPPOLoss(actor, critic)(on_policy)
    assert losses["clip_fraction"] == 0
    torch.testing.assert_close(losses["ESS"], torch.tensor(1.0))
    plain = PPOLoss(actor, critic)(on_policy)["loss_objective"]
    torch.testing.assert_close(losses["loss_objective"], plain)


def test_out_keys(actor, critic, on_policy):
    loss = ClipPPOLoss(actor, critic)
    assert set(loss.out_keys) == set(loss(on_policy).keys())


def test_clip_epsilon_is_scheduled_in_place(actor, critic, on_policy):
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.05)
    loss.clip_epsilon = 10.0
    assert loss(on_policy)["clip_fraction"] == 0


def test_clip_value_true_takes_epsilon(actor, critic):
    assert ClipPPOLoss(actor, critic, clip_epsilon=0.25, clip_value=True).clip_value == 0.25
    assert ClipPPOLoss(actor, critic, clip_value=False).clip_value is None
    with pytest.raises(ValueError, match="pass a number as `clip_value`"):
        ClipPPOLoss(actor, critic, clip_epsilon=(0.1, 0.2), clip_value=True)


def test_metrics_without_padding(actor, critic, on_policy):
    expected = ClipPPOLoss(actor, critic)(on_policy[:10])
    on_policy["collector", "mask"] = torch.arange(16) < 10
    losses = ClipPPOLoss(actor, critic)(on_policy)
    for key, number in expected.items():
        torch.testing.assert_close(losses[key], number, msg=key)


def test_compiled_equals_eager(actor, critic, on_policy, compiled):
    loss = ClipPPOLoss(actor, critic, normalize_advantage=True)
    for key, value in compiled(loss)(on_policy).items():
        torch.testing.assert_close(value, loss(on_policy)[key], msg=key)
