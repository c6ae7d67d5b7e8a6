"""Deep deterministic policy gradient."""

import pytest
import torch

from rl.objectives import DDPGLoss, SoftUpdate


def make(actor, qvalue, **options):
    loss = DDPGLoss(actor, qvalue, **options)
    if loss.has_target_params:
        SoftUpdate(loss, tau=0.1)
    return loss


@pytest.mark.parametrize("delay_actor", [False, True])
def test_values_by_hand(deterministic_actor, qvalue, batch, delay_actor):
    loss = make(deterministic_actor, qvalue, delay_actor=delay_actor)
    step, net, critic = batch["next"], deterministic_actor.module, qvalue.module
    action = net(step["observation"])
    if delay_actor:
        for leaf in loss.target_actor_network_params.values(True, True):
            leaf.zero_()
        action = torch.zeros_like(action)
    target = step["reward"] + 0.99 * critic(step["observation"], action) * ~step["terminated"]
    value = critic(batch["observation"], batch["action"])
    error = (value - target.detach()).squeeze(-1)
    losses = loss(batch)
    torch.testing.assert_close(losses["loss_value"], error.square().mean())
    torch.testing.assert_close(batch["td_error"], error.abs().detach())
    expected = -critic(batch["observation"], net(batch["observation"])).mean()
    torch.testing.assert_close(losses["loss_actor"], expected)
    torch.testing.assert_close(losses["pred_value"], value.mean().detach())
    torch.testing.assert_close(losses["target_value_max"], target.max().detach())
    assert set(losses.keys()) == set(loss.out_keys)


def test_each_loss_moves_its_own_parameters(deterministic_actor, qvalue, batch):
    loss = make(deterministic_actor, qvalue)
    for key, prefix in {"loss_actor": "actor_", "loss_value": "value_"}.items():
        loss.zero_grad()
        loss(batch)[key].backward()
        moved = {n for n, p in loss.named_parameters() if p.grad is not None}
        assert moved == {n for n, _ in loss.named_parameters() if n.startswith(prefix)}


def test_the_batch_gains_only_the_priority(deterministic_actor, qvalue, batch):
    before = set(batch.keys(True, True))
    make(deterministic_actor, qvalue)(batch)
    assert set(batch.keys(True, True)) - before == {"td_error"}


def test_keyword_call(deterministic_actor, qvalue, batch):
    loss = make(deterministic_actor, qvalue)
    loss.select_out_keys("loss_actor", "loss_value")
    step = batch["next"]
    actor, value = loss(
        observation=batch["observation"],
        action=batch["action"],
        next_observation=step["observation"],
        next_reward=step["reward"],
        next_done=step["done"],
        next_terminated=step["terminated"],
    )
    torch.testing.assert_close(actor, loss(batch)["loss_actor"])
    torch.testing.assert_close(value, loss(batch)["loss_value"])


def test_priority_weights(deterministic_actor, qvalue, batch):
    each = make(deterministic_actor, qvalue, reduction="none")(batch)
    batch["priority_weight"] = torch.rand(16)
    losses, weights = make(deterministic_actor, qvalue)(batch), batch["priority_weight"]
    for key in ("loss_actor", "loss_value"):
        torch.testing.assert_close(losses[key], (each[key] * weights).sum() / weights.sum())


def test_compiled_equals_eager(deterministic_actor, qvalue, batch, compiled):
    loss = make(deterministic_actor, qvalue)
    expected = loss(batch)
    for key, value in compiled(loss)(batch).items():
        torch.testing.assert_close(value, expected[key], msg=key)
