"""Discrete soft actor-critic."""

import math

import pytest
import torch
from torch.nn.functional import smooth_l1_loss

from rl.core.errors import ShapeError
from rl.objectives import DiscreteSACLoss, SoftUpdate


def make(actor, qvalues, **options):
    options = {"action_space": "one_hot", "num_actions": 4, "alpha_init": 0.3, **options}
    loss = DiscreteSACLoss(actor, qvalues, **options)
    SoftUpdate(loss, tau=0.1)
    return loss


def critics(params, observation):
    """The values [N, B, 4] of the network of `qvalues` with stacked parameters."""
    p = params["module"]
    hidden = (observation @ p["0", "weight"].mT + p["0", "bias"].unsqueeze(1)).tanh()
    return hidden @ p["2", "weight"].mT + p["2", "bias"].unsqueeze(1)


@pytest.mark.parametrize("num", [1, 2, 4])
def test_values_by_hand(discrete_actor, qvalues, discrete_batch, num):
    loss = make(discrete_actor, qvalues, num_qvalue_nets=num)
    for leaf in loss.target_qvalue_network_params.values(True, True):
        leaf.mul_(0.5)
    losses = loss(discrete_batch)
    net, step = discrete_actor[0].module, discrete_batch["next"]
    with torch.no_grad():
        log_probs = net(step["observation"]).log_softmax(-1)
        values = critics(loss.target_qvalue_network_params, step["observation"]).amin(0)
        soft = (log_probs.exp() * (values - 0.3 * log_probs)).sum(-1, keepdim=True)
        target = (step["reward"] + 0.99 * soft * ~step["terminated"]).squeeze(-1)
    values = critics(loss.qvalue_network_params, discrete_batch["observation"])
    chosen = (values * discrete_batch["action"]).sum(-1)
    error = smooth_l1_loss(chosen, target.expand_as(chosen), reduction="none").sum(0).mean()
    torch.testing.assert_close(losses["loss_qvalue"], error)
    expected = (chosen - target).abs().amax(0).detach()
    torch.testing.assert_close(discrete_batch["td_error"], expected)
    log_probs = net(discrete_batch["observation"]).log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    best = values.amin(0).detach()
    expected = (log_probs.exp() * (0.3 * log_probs - best)).sum(-1).mean()
    torch.testing.assert_close(losses["loss_actor"], expected)
    torch.testing.assert_close(losses["entropy"], entropy.mean())
    gap = -entropy.mean() + 0.98 * math.log(4)
    torch.testing.assert_close(losses["loss_alpha"], -math.log(0.3) * gap)
    assert set(losses.keys()) == set(loss.out_keys)


def test_each_loss_moves_its_own_parameters(discrete_actor, qvalues, discrete_batch):
    loss = make(discrete_actor, qvalues)
    names = {
        "loss_actor": "actor_network_params",
        "loss_qvalue": "qvalue_network_params",
        "loss_alpha": "log_alpha",
    }
    for key, prefix in names.items():
        loss.zero_grad()
        loss(discrete_batch)[key].backward()
        moved = {n for n, p in loss.named_parameters() if p.grad is not None}
        assert moved == {n for n, _ in loss.named_parameters() if n.startswith(prefix)}


def test_parts_equal_the_whole(discrete_actor, qvalues, discrete_batch):
    loss = make(discrete_actor, qvalues)
    whole = loss(discrete_batch)
    torch.testing.assert_close(loss.qvalue_loss(discrete_batch)[0], whole["loss_qvalue"])
    torch.testing.assert_close(loss.actor_loss(discrete_batch)[0], whole["loss_actor"])


def test_categorical_actions(discrete_actor, qvalues, discrete_batch):
    loss = make(discrete_actor, qvalues)
    expected = loss(discrete_batch)["loss_qvalue"]
    loss.action_space = "categorical"
    for shape in ((16,), (16, 1)):
        data = discrete_batch.clone()
        data["action"] = data["action"].argmax(-1).view(shape)
        torch.testing.assert_close(loss(data)["loss_qvalue"], expected)


def test_integer_action_in_a_one_hot_space(discrete_actor, qvalues, discrete_batch):
    discrete_batch["action"] = discrete_batch["action"].argmax(-1, keepdim=True)
    with pytest.raises(ShapeError, match='pass `action_space="categorical"`'):
        make(discrete_actor, qvalues)(discrete_batch)


def test_auto_entropy_needs_the_number_of_actions(discrete_actor, qvalues):
    with pytest.raises(ValueError, match="pass `num_actions=`"):
        make(discrete_actor, qvalues, num_actions=None)
    loss = make(discrete_actor, qvalues, num_actions=None, target_entropy=0.5)
    assert loss.target_entropy == 0.5


def test_skip_done_states(discrete_actor, qvalues, discrete_batch):
    loss = make(discrete_actor, qvalues)
    step = discrete_batch["next"]
    step["terminated"] = step["done"]
    expected = loss(discrete_batch)["loss_qvalue"]
    step["observation"][step["done"].squeeze(-1)] = float("nan")
    loss.skip_done_states = True
    torch.testing.assert_close(loss(discrete_batch)["loss_qvalue"], expected)


def test_compiled_equals_eager(discrete_actor, qvalues, discrete_batch, compiled):
    loss = make(discrete_actor, qvalues)
    expected = loss(discrete_batch)
    for key, value in compiled(loss)(discrete_batch).items():
        torch.testing.assert_close(value, expected[key], msg=key)
