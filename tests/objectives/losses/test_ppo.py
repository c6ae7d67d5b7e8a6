"""PPO without clipping, and what the on-policy losses share."""

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import (
    CompositeDistribution,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torch import nn
from torch.distributions import Normal

from rl.core.distributions import FusedCategorical
from rl.core.errors import MissingKeyError, ShapeError
from rl.core.modules import ProbabilisticActor, ValueOperator
from rl.objectives import PPOLoss
from rl.objectives.value import GAE


def by_hand(actor, data):
    loc, scale = actor[0].module(data["observation"])
    dist = Normal(loc, scale)
    log_weight = dist.log_prob(data["action"]).sum(-1) - data["action_log_prob"]
    return log_weight, dist.entropy().sum(-1)


def test_values_by_hand(actor, critic, on_policy):
    losses = PPOLoss(actor, critic, entropy_coeff=0.3, critic_coeff=0.7)(on_policy)
    log_weight, entropy = by_hand(actor, on_policy)
    advantage = on_policy["advantage"].squeeze(-1)
    value, target = critic.module(on_policy["observation"]), on_policy["value_target"]
    expected = {
        "loss_objective": -(log_weight.exp() * advantage).mean(),
        "loss_entropy": -0.3 * entropy.mean(),
        "loss_critic": 0.7 * nn.functional.smooth_l1_loss(value, target),
        "entropy": entropy.mean(),
        "kl_approx": -log_weight.mean(),
        "explained_variance": 1 - (target - value).var() / target.var(),
    }
    assert set(losses.keys()) == set(expected)
    for key, number in expected.items():
        torch.testing.assert_close(losses[key], number, msg=key)
        assert losses[key].requires_grad == key.startswith("loss_")


def test_out_keys_are_what_is_returned(actor, critic, on_policy):
    on_policy["state_value"] = torch.zeros(16, 1)
    for options in (
        {},
        {"entropy_bonus": False},
        {"critic_coeff": None},
        {"clip_value": 0.1},
        {"log_explained_variance": False},
    ):
        loss = PPOLoss(actor, critic, **options)
        assert set(loss.out_keys) == set(loss(on_policy).keys()), options


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_reduction(actor, critic, on_policy, reduction):
    losses = PPOLoss(actor, critic, reduction=reduction)(on_policy)
    each = PPOLoss(actor, critic, reduction="none")(on_policy)
    for key in ("loss_objective", "loss_critic", "loss_entropy"):
        assert each[key].shape == (16,)
        expected = each[key] if reduction == "none" else getattr(each[key], reduction)()
        torch.testing.assert_close(losses[key], expected)


def test_the_batch_stays_as_it_is(actor, critic, on_policy):
    before = on_policy.clone()
    PPOLoss(actor, critic)(on_policy)
    assert set(on_policy.keys(True, True)) == set(before.keys(True, True))
    assert (on_policy == before).all()


def test_keyword_call(actor, critic, on_policy):
    loss = PPOLoss(actor, critic)
    named = {
        key: on_policy[key]
        for key in ("observation", "action", "action_log_prob", "advantage", "value_target")
    }
    result = loss(**named)
    expected = loss(on_policy)
    for key, value in zip(loss.out_keys, result, strict=True):
        torch.testing.assert_close(value, expected[key])


def test_normalize_advantage(actor, critic, on_policy):
    losses = PPOLoss(actor, critic, normalize_advantage=True)(on_policy)
    advantage = on_policy["advantage"]
    on_policy["advantage"] = (advantage - advantage.mean()) / advantage.std()
    torch.testing.assert_close(
        losses["loss_objective"], PPOLoss(actor, critic)(on_policy)["loss_objective"]
    )


def test_mask_leaves_padding_out(actor, critic, on_policy):
    options = {"normalize_advantage": True}
    expected = PPOLoss(actor, critic, **options)(on_policy[:10])
    on_policy["collector", "mask"] = torch.arange(16) < 10
    for key in ("advantage", "value_target"):
        on_policy[key][10:] = float("nan")
    losses = PPOLoss(actor, critic, **options)(on_policy)
    for key, number in expected.items():
        torch.testing.assert_close(losses[key], number, msg=key)


def test_clip_value(actor, critic, on_policy):
    value, target = critic.module(on_policy["observation"]), on_policy["value_target"]
    old = on_policy["state_value"] = value.detach() + torch.linspace(-1, 1, 16).unsqueeze(-1)
    loss = PPOLoss(actor, critic, clip_value=0.2, loss_critic_type="l2")
    clipped = old + (value - old).clamp(-0.2, 0.2)
    expected = torch.max((value - target).square(), (clipped - target).square()).mean()
    losses = loss(on_policy)
    torch.testing.assert_close(losses["loss_critic"], expected)
    assert losses["value_clip_fraction"] == ((value - old).abs() > 0.2).float().mean()
    del on_policy["state_value"]
    with pytest.raises(MissingKeyError, match="or pass `clip_value=None`"):
        loss(on_policy)


def test_separate_losses_hold_the_shared_trunk_out(on_policy):
    trunk = nn.Linear(3, 3)
    actor = ProbabilisticActor(
        TensorDictModule(
            nn.Sequential(trunk, nn.Linear(3, 4), nn.Tanh()), ["observation"], ["logits"]
        ),
        in_keys=["logits"],
        out_keys=["action"],
        distribution_class=FusedCategorical,
    )
    critic = ValueOperator(nn.Sequential(trunk, nn.Linear(3, 1)), in_keys=["observation"])
    on_policy["action"] = torch.randint(4, (16,))
    for separate in (True, False):
        loss = PPOLoss(actor, critic, separate_losses=separate)
        grads = torch.autograd.grad(
            loss(on_policy)["loss_critic"], list(critic.parameters()), allow_unused=True
        )
        assert (grads[0] is None) == separate
        assert grads[2] is not None
        assert len(list(loss.parameters())) == 6


def test_renamed_keys(actor, critic, on_policy):
    expected = PPOLoss(actor, critic)(on_policy)
    loss = PPOLoss(actor, critic, advantage_key="adv", value_target_key="aim")
    loss.set_keys(sample_log_prob="old_log_prob", action="act")
    for old, new in (
        ("advantage", "adv"),
        ("value_target", "aim"),
        ("action_log_prob", "old_log_prob"),
        ("action", "act"),
    ):
        on_policy.rename_key_(old, new)
    losses = loss(on_policy)
    torch.testing.assert_close(losses["loss_objective"], expected["loss_objective"])
    torch.testing.assert_close(losses["loss_critic"], expected["loss_critic"])


def test_advantages_are_computed_for_trajectories(actor, critic, trajectories):
    loss = PPOLoss(actor, critic, gamma=0.9)
    losses = loss(trajectories)
    assert "advantage" not in trajectories
    GAE(gamma=0.9, lmbda=0.95, value_network=critic)(trajectories)
    expected = loss(trajectories)
    torch.testing.assert_close(losses["loss_objective"], expected["loss_objective"])


def test_vtrace(actor, critic, trajectories):
    loss = PPOLoss(actor, critic).make_value_estimator("VTrace", gamma=0.9)
    losses = loss(trajectories)
    loss.value_estimator(trajectories)
    torch.testing.assert_close(losses["loss_objective"], loss(trajectories)["loss_objective"])


def test_shuffled_steps_without_advantage(actor, critic, trajectories):
    shuffled = trajectories.reshape(-1)
    shuffled.names = [None]
    with pytest.raises(MissingKeyError, match=r"run `GAE\(gamma=..., lmbda=..., value_network"):
        PPOLoss(actor, critic)(shuffled)


def test_log_prob_with_trailing_dimension(actor, critic, on_policy):
    on_policy["action_log_prob"] = on_policy["action_log_prob"].unsqueeze(-1)
    with pytest.raises(ShapeError, match=r"\[16, 1\], expected \[16\].*`action_log_prob.squeeze"):
        PPOLoss(actor, critic)(on_policy)


def test_log_prob_per_component(actor, critic, on_policy):
    on_policy["action_log_prob"] = torch.zeros(16, 2)
    with pytest.raises(ShapeError, match="Sum the log-prob over the action's components"):
        PPOLoss(actor, critic)(on_policy)


def test_advantage_without_trailing_dimension(actor, critic, on_policy):
    on_policy["advantage"] = on_policy["advantage"].squeeze(-1)
    with pytest.raises(ShapeError, match=r"expected \[16, 1\].*`advantage.unsqueeze\(-1\)`"):
        PPOLoss(actor, critic)(on_policy)


def test_value_target_without_trailing_dimension(actor, critic, on_policy):
    on_policy["value_target"] = on_policy["value_target"].squeeze(-1)
    with pytest.raises(ShapeError, match=r"`value_target` has shape \[16\].*`unsqueeze\(-1\)`"):
        PPOLoss(actor, critic)(on_policy)


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("action_log_prob", "`return_log_prob=True`"),
        ("value_target", "`critic_coeff=None`"),
        ("action", r"`set_keys\(action=...\)`"),
    ],
)
def test_missing_keys(actor, critic, on_policy, key, fix):
    del on_policy[key]
    with pytest.raises(MissingKeyError, match=f"`{key}` is not in the batch.*{fix}"):
        PPOLoss(actor, critic)(on_policy)


def test_actor_alone(actor, on_policy):
    del on_policy["value_target"]
    assert "loss_critic" not in PPOLoss(actor)(on_policy)


def test_critic_alone(actor, critic, on_policy):
    loss = PPOLoss(actor, critic)
    torch.testing.assert_close(loss.loss_critic(on_policy), loss(on_policy)["loss_critic"])


def composite_actor():
    """Two heads, `move` of 2 and `look` of 3 choices."""
    net = TensorDictModule(
        lambda x: x.split([2, 3], -1),
        ["features"],
        [("params", "move", "logits"), ("params", "look", "logits")],
    )
    return ProbabilisticTensorDictSequential(
        TensorDictModule(nn.Linear(3, 5), ["observation"], ["features"]),
        net,
        ProbabilisticTensorDictModule(
            ["params"],
            ["move", "look"],
            distribution_class=CompositeDistribution,
            distribution_kwargs={
                "distribution_map": {"move": FusedCategorical, "look": FusedCategorical}
            },
        ),
    )


def test_composite_action():
    actor = composite_actor()
    data = TensorDict(
        {
            "observation": torch.randn(16, 3),
            "move": torch.randint(2, (16,)),
            "look": torch.randint(3, (16,)),
            "action_log_prob": torch.randn(16),
            "advantage": torch.randn(16, 1),
        },
        [16],
    )
    logits = actor[0].module(data["observation"]).split([2, 3], -1)
    heads = [torch.distributions.Categorical(logits=x) for x in logits]
    log_prob = heads[0].log_prob(data["move"]) + heads[1].log_prob(data["look"])
    ratio = (log_prob - data["action_log_prob"]).exp()
    losses = PPOLoss(actor, entropy_coeff={"move": 0.1, "look": 0.4})(data)
    torch.testing.assert_close(
        losses["loss_objective"], -(ratio * data["advantage"].squeeze(-1)).mean()
    )
    move, look = (head.entropy().mean() for head in heads)
    torch.testing.assert_close(losses["entropy"], move + look)
    torch.testing.assert_close(losses["loss_entropy"], -(0.1 * move + 0.4 * look))
    with pytest.raises(ValueError, match="no entry for the action head `look`"):
        PPOLoss(actor, entropy_coeff={"move": 0.1})(data)


def test_entropy_estimate(squashed_actor, critic, on_policy):
    loss = PPOLoss(squashed_actor, critic, samples_mc_entropy=2000)
    on_policy["action"] = on_policy["action"].tanh() * 0.9
    dist = squashed_actor.get_dist(on_policy.select("observation"))
    torch.testing.assert_close(loss(on_policy)["entropy"], dist.entropy().mean(), atol=0.05, rtol=0)


def test_learns_which_action_has_advantage(discrete_actor):
    loss = PPOLoss(discrete_actor, entropy_bonus=False)
    optimizer = torch.optim.Adam(loss.parameters(), 0.1)
    observation = torch.randn(32, 3)
    for _ in range(30):
        with torch.no_grad():
            data = discrete_actor(TensorDict({"observation": observation}, [32]))
        data["advantage"] = data["action"][:, 1:2].float() - 0.25
        loss(data)["loss_objective"].backward()
        optimizer.step()
        optimizer.zero_grad()
    logits = discrete_actor[0].module(observation)
    assert logits.softmax(-1)[:, 1].mean() > 0.9


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_compiled_equals_eager(actor, critic, on_policy, compiled, reduction):
    loss = PPOLoss(actor, critic, normalize_advantage=True, reduction=reduction)
    for key, value in compiled(loss)(on_policy).items():
        torch.testing.assert_close(value, loss(on_policy)[key], msg=key)
