"""Soft actor-critic."""

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn
from torch.nn.functional import smooth_l1_loss

from rl.core.distributions import TanhNormal
from rl.core.modules import ProbabilisticActor, ValueOperator
from rl.objectives import SACLoss, SoftUpdate


def make(actor, qvalue, *args, **options):
    loss = SACLoss(actor, qvalue, *args, **{"target_entropy": -2.0, **options})
    if loss.has_target_params:
        SoftUpdate(loss, tau=0.1)
    return loss


def critics(params, observation, action):
    """The values [N, B] of `Critic` with stacked parameters."""
    p = params["module", "net"]
    x = torch.cat([observation, action], -1)
    hidden = (x @ p["0", "weight"].mT + p["0", "bias"].unsqueeze(1)).tanh()
    return (hidden @ p["2", "weight"].mT + p["2", "bias"].unsqueeze(1)).squeeze(-1)


def drawn(actor, observation):
    data = TensorDict({"observation": observation}, observation.shape[:1])
    return actor.get_dist(data).rsample_and_log_prob()


@pytest.mark.parametrize("num", [1, 2, 4])
def test_values_by_hand(squashed_actor, qvalue, batch, num):
    loss = make(squashed_actor, qvalue, alpha_init=0.3, num_qvalue_nets=num)
    for leaf in loss.target_qvalue_network_params.values(True, True):
        leaf.mul_(0.5)
    torch.manual_seed(1)
    losses = loss(batch)
    torch.manual_seed(1)
    step = batch["next"]
    with torch.no_grad():
        action, log_prob = drawn(squashed_actor, step["observation"])
        following = critics(loss.target_qvalue_network_params, step["observation"], action)
        soft = following.amin(0) - 0.3 * log_prob
        target = (step["reward"] + 0.99 * soft.unsqueeze(-1) * ~step["terminated"]).squeeze(-1)
    values = critics(loss.qvalue_network_params, batch["observation"], batch["action"])
    error = smooth_l1_loss(values, target.expand_as(values), reduction="none")
    torch.testing.assert_close(losses["loss_qvalue"], error.sum(0).mean())
    torch.testing.assert_close(batch["td_error"], (values - target).abs().amax(0).detach())
    action, log_prob = drawn(squashed_actor, batch["observation"])
    values = critics(loss.qvalue_network_params, batch["observation"], action)
    expected = (0.3 * log_prob - values.amin(0)).mean()
    torch.testing.assert_close(losses["loss_actor"], expected)
    log_alpha = torch.tensor(0.3).log()
    torch.testing.assert_close(losses["loss_alpha"], -log_alpha * (log_prob - 2).mean())
    torch.testing.assert_close(losses["entropy"], -log_prob.mean())
    assert losses["alpha"].item() == pytest.approx(0.3)
    assert set(losses.keys()) == set(loss.out_keys)


def test_each_loss_moves_its_own_parameters(squashed_actor, qvalue, batch):
    loss = make(squashed_actor, qvalue)
    names = {
        "loss_actor": "actor_network_params",
        "loss_qvalue": "qvalue_network_params",
        "loss_alpha": "log_alpha",
    }
    for key, prefix in names.items():
        loss.zero_grad()
        loss(batch)[key].backward()
        moved = {n for n, p in loss.named_parameters() if p.grad is not None}
        assert moved == {n for n, _ in loss.named_parameters() if n.startswith(prefix)}


def test_parts_equal_the_whole(squashed_actor, qvalue, batch):
    loss = make(squashed_actor, qvalue)
    torch.manual_seed(1)
    whole = loss(batch)
    torch.manual_seed(1)
    value, metrics = loss.qvalue_loss(batch)
    torch.testing.assert_close(value, whole["loss_qvalue"])
    torch.testing.assert_close(metrics["td_error"], batch["td_error"])
    value, metrics = loss.actor_loss(batch)
    torch.testing.assert_close(value, whole["loss_actor"])
    torch.testing.assert_close(-metrics["log_prob"].mean(), whole["entropy"])


def test_first_version(squashed_actor, qvalue, critic, batch):
    loss = make(squashed_actor, qvalue, critic, alpha_init=0.3)
    for leaf in loss.target_value_network_params.values(True, True):
        leaf.mul_(0.5)
    torch.manual_seed(1)
    losses = loss(batch)
    torch.manual_seed(1)
    step, net = batch["next"], critic.module
    with torch.no_grad():
        following = step["observation"] @ (0.5 * net.weight).T + 0.5 * net.bias
        target = (step["reward"] + 0.99 * following * ~step["terminated"]).squeeze(-1)
    values = critics(loss.qvalue_network_params, batch["observation"], batch["action"])
    error = smooth_l1_loss(values, target.expand_as(values), reduction="none").sum(0).mean()
    torch.testing.assert_close(losses["loss_qvalue"], error)
    action, log_prob = drawn(squashed_actor, batch["observation"])
    best = critics(loss.qvalue_network_params, batch["observation"], action).amin(0)
    value = net(batch["observation"]).squeeze(-1)
    expected = smooth_l1_loss(value, (best - 0.3 * log_prob).detach())
    torch.testing.assert_close(losses["loss_value"], expected)
    assert set(losses.keys()) == set(loss.out_keys)
    assert loss._delayed == ["value_network"]


def test_delayed_actor_draws_the_next_action(squashed_actor, qvalue, batch):
    loss = make(squashed_actor, qvalue, delay_actor=True, fixed_alpha=True, alpha_init=1e-8)
    for leaf in loss.target_actor_network_params.values(True, True):
        leaf.zero_()
    torch.manual_seed(1)
    loss(batch)
    torch.manual_seed(1)
    step = batch["next"]
    scale = nn.functional.softplus(torch.zeros(())) + 0.1
    action = (scale * torch.randn(16, 2)).tanh()
    following = critics(loss.target_qvalue_network_params, step["observation"], action).amin(0)
    target = step["reward"].squeeze(-1) + 0.99 * following * ~step["terminated"].squeeze(-1)
    values = critics(loss.qvalue_network_params, batch["observation"], batch["action"])
    expected = (values - target).abs().amax(0).detach()
    torch.testing.assert_close(batch["td_error"], expected)


def test_skip_done_states(squashed_actor, qvalue, batch):
    ended = batch["next", "done"].squeeze(-1)
    batch["next", "terminated"] = batch["next", "done"]
    batch["next", "observation"][ended] = float("nan")
    loss = make(squashed_actor, qvalue, skip_done_states=True)
    losses = loss(batch)
    assert all(value.isfinite() for value in losses.values())
    torch.testing.assert_close(
        batch["td_error"][ended],
        (
            critics(loss.qvalue_network_params, batch["observation"], batch["action"])
            - batch["next", "reward"].squeeze(-1)
        )
        .abs()
        .amax(0)[ended]
        .detach(),
    )


class Head(nn.Module):
    def __init__(self, trunk):
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(3, 4)

    def forward(self, observation):
        loc, scale = self.head(self.trunk(observation)).chunk(2, -1)
        return loc, nn.functional.softplus(scale) + 0.1


class SharedCritic(nn.Module):
    def __init__(self, trunk):
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(5, 1)

    def forward(self, observation, action):
        return self.head(torch.cat([self.trunk(observation), action], -1))


def shared(trunk):
    actor = ProbabilisticActor(
        TensorDictModule(Head(trunk), ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        out_keys=["action"],
        distribution_class=TanhNormal,
    )
    return actor, ValueOperator(SharedCritic(trunk), in_keys=["observation", "action"])


def test_separate_losses_hold_the_shared_trunk_out(batch):
    trunk = nn.Linear(3, 3)
    actor, critic = shared(trunk)
    for separate in (True, False):
        loss = make(actor, critic, separate_losses=separate)
        loss.zero_grad()
        loss(batch)["loss_qvalue"].backward()
        assert (trunk.weight.grad is None) == separate
        trunk.weight.grad = None


def test_reduction_none(squashed_actor, qvalue, batch):
    losses = make(squashed_actor, qvalue, reduction="none")(batch)
    for key in ("loss_actor", "loss_qvalue", "loss_alpha"):
        assert losses[key].shape == (16,)


def test_priority_weights(squashed_actor, qvalue, batch):
    loss = make(squashed_actor, qvalue)
    torch.manual_seed(1)
    loss.reduction = "none"
    each = loss(batch)
    batch["priority_weight"] = torch.rand(16)
    torch.manual_seed(1)
    loss.reduction = "mean"
    losses, weights = loss(batch), batch["priority_weight"]
    for key in ("loss_actor", "loss_qvalue", "loss_alpha"):
        torch.testing.assert_close(losses[key], (each[key] * weights).sum() / weights.sum())


def test_draws_in_every_exploration_mode(qvalue, squashed_actor, batch):
    loss = make(squashed_actor, qvalue)
    assert not torch.equal(loss(batch)["loss_actor"], loss(batch)["loss_actor"])


@pytest.mark.parametrize("num", [2, 4])
def test_compiled_equals_eager(squashed_actor, qvalue, batch, compiled, num):
    loss = make(squashed_actor, qvalue, num_qvalue_nets=num)
    torch.manual_seed(1)
    expected = loss(batch)
    torch.manual_seed(1)
    for key, value in compiled(loss)(batch).items():
        torch.testing.assert_close(value, expected[key], msg=key)
