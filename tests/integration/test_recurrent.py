"""Recurrent policies from collection to losses."""

import pytest
import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn

from rl.core import GRUModule, LSTMModule, OneHotCategorical, ProbabilisticActor, recurrent_mode
from rl.core.contract import step_mdp
from rl.envs import SerialEnv, SingleCollector
from rl.envs.testing import CountingEnv
from rl.objectives import ClipPPOLoss
from rl.objectives.value import GAE


def make_actor():
    memory = GRUModule(1, 8, in_key="observation", out_key="features")
    head = TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    return ProbabilisticActor(
        TensorDictSequential(memory, head),
        in_keys=["logits"],
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )


def make_critic():
    memory = LSTMModule(1, 8, in_key="observation", out_key="value_features")
    head = TensorDictModule(nn.Linear(8, 1), ["value_features"], ["state_value"])
    return TensorDictSequential(memory, head)


@pytest.fixture
def parts():
    """Actor, critic, and a batch of both whose trajectories end within it."""
    torch.manual_seed(0)
    actor, critic = make_actor(), make_critic()
    env = SerialEnv(2, [lambda: CountingEnv(3), lambda: CountingEnv(5)])
    both = TensorDictSequential(actor, critic)
    (batch,) = SingleCollector(env, both, frames_per_batch=20, total_frames=20)
    env.close()
    return actor, critic, batch


@pytest.mark.parametrize("deactivate_vmap", [False, True])
def test_values_over_sequences_are_those_of_the_steps(parts, deactivate_vmap):
    _, critic, batch = parts
    expected = batch["state_value"].clone()
    # the critic's step from each next observation, with the state that the step before wrote
    with torch.no_grad():
        following = critic(step_mdp(batch).exclude("is_init").set("is_init", batch["done"] & False))
    estimator = GAE(gamma=0.9, lmbda=0.9, value_network=critic, deactivate_vmap=deactivate_vmap)
    result = estimator(batch.exclude("state_value", "value_features"))
    torch.testing.assert_close(result["state_value"], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        result["next", "state_value"], following["state_value"], atol=1e-5, rtol=1e-5
    )


def test_the_first_ratio_is_one(parts):
    actor, critic, batch = parts
    GAE(gamma=0.9, lmbda=0.9, value_network=critic)(batch)
    loss = ClipPPOLoss(actor, critic, normalize_advantage=False)
    result = loss(batch)
    assert result["kl_approx"].abs() < 1e-6
    torch.testing.assert_close(
        result["loss_objective"], -batch["advantage"].mean(), atol=1e-5, rtol=1e-5
    )
    (result["loss_objective"] + result["loss_critic"]).backward()
    assert all(p.grad.abs().sum() > 0 for p in loss.parameters())


def test_losses_and_estimators_set_the_mode(parts):
    actor, critic, batch = parts
    modes = []
    for net in (actor, critic):
        net.register_forward_pre_hook(lambda *_: modes.append(recurrent_mode()))
    GAE(gamma=0.9, lmbda=0.9, value_network=critic)(batch)
    ClipPPOLoss(actor, critic)(batch)
    assert modes
    assert all(modes)
    assert recurrent_mode() is None
