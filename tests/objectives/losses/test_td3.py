"""Twin delayed deterministic policy gradient."""

import pytest
import torch
from torch.nn.functional import smooth_l1_loss

from rl.core.specs import Bounded, Composite
from rl.objectives import SoftUpdate, TD3Loss


def make(actor, qvalue, **options):
    loss = TD3Loss(actor, qvalue, **{"bounds": (-0.3, 0.3), **options})
    SoftUpdate(loss, tau=0.1)
    return loss


def critics(params, observation, action):
    """The values [N, B] of `Critic` with stacked parameters."""
    p = params["module", "net"]
    x = torch.cat([observation, action], -1)
    hidden = (x @ p["0", "weight"].mT + p["0", "bias"].unsqueeze(1)).tanh()
    return (hidden @ p["2", "weight"].mT + p["2", "bias"].unsqueeze(1)).squeeze(-1)


def test_values_by_hand(deterministic_actor, qvalue, batch):
    loss = make(deterministic_actor, qvalue, policy_noise=0.4, noise_clip=0.1)
    for leaf in loss.target_actor_network_params.values(True, True):
        leaf.mul_(0.5)
    torch.manual_seed(1)
    losses = loss(batch)
    torch.manual_seed(1)
    step, params = batch["next"], loss.target_actor_network_params["module", "0"]
    action = torch.tanh(step["observation"] @ params["weight"].T + params["bias"])
    noise = (0.4 * torch.randn(16, 2)).clamp(-0.1, 0.1)
    action = (action + noise).clamp(-0.3, 0.3)
    following = critics(loss.target_qvalue_network_params, step["observation"], action).amin(0)
    target = (step["reward"] + 0.99 * following.unsqueeze(-1) * ~step["terminated"]).squeeze(-1)
    values = critics(loss.qvalue_network_params, batch["observation"], batch["action"])
    error = smooth_l1_loss(values, target.expand_as(values), reduction="none").sum(0).mean()
    torch.testing.assert_close(losses["loss_qvalue"], error)
    expected = (values - target).abs().amax(0).detach()
    torch.testing.assert_close(batch["td_error"], expected)
    action = deterministic_actor.module(batch["observation"])
    value = critics(loss.qvalue_network_params, batch["observation"], action)[0]
    torch.testing.assert_close(losses["loss_actor"], -value.mean())
    torch.testing.assert_close(losses["next_state_value"], following.mean())
    assert set(losses.keys()) == set(loss.out_keys)


def test_each_loss_moves_its_own_parameters(deterministic_actor, qvalue, batch):
    loss = make(deterministic_actor, qvalue)
    for key, prefix in {"loss_actor": "actor_", "loss_qvalue": "qvalue_"}.items():
        loss.zero_grad()
        loss(batch)[key].backward()
        moved = {n for n, p in loss.named_parameters() if p.grad is not None}
        assert moved == {n for n, _ in loss.named_parameters() if n.startswith(prefix)}


@pytest.mark.parametrize("spec", [Bounded(-2, 3, (2,)), Composite(action=Bounded(-2, 3, (2,)))])
def test_bounds_from_a_spec(deterministic_actor, qvalue, spec):
    loss = TD3Loss(deterministic_actor, qvalue, action_spec=spec)
    assert loss.min_action.tolist() == [-2.0, -2.0]
    assert loss.max_action.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("options", [{}, {"action_spec": Bounded(-2, 3, (2,)), "bounds": (0, 1)}])
def test_bounds_are_given_once(deterministic_actor, qvalue, options):
    with pytest.raises(ValueError, match=r"`bounds=\(low, high\)`, one of them"):
        TD3Loss(deterministic_actor, qvalue, **options)


def test_compiled_equals_eager(deterministic_actor, qvalue, batch, compiled):
    loss = make(deterministic_actor, qvalue)
    torch.manual_seed(1)
    expected = loss(batch)
    torch.manual_seed(1)
    for key, value in compiled(loss)(batch).items():
        torch.testing.assert_close(value, expected[key], msg=key)
