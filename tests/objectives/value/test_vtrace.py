"""The V-trace module."""

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import (
    NormalParamExtractor,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torch import nn

from rl.core.distributions import IndependentNormal
from rl.core.errors import MissingKeyError, ShapeError
from rl.objectives.functional import vtrace_advantage_estimate
from rl.objectives.value import VTrace


@pytest.fixture
def actor():
    net = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
    return ProbabilisticTensorDictSequential(
        TensorDictModule(net, ["observation"], ["loc", "scale"]),
        ProbabilisticTensorDictModule(
            ["loc", "scale"], ["action"], distribution_class=IndependentNormal
        ),
    )


@pytest.fixture
def batch():
    torch.manual_seed(0)
    done = torch.rand(3, 8, 1) < 0.2
    step = {"reward": torch.randn(3, 8, 1), "done": done, "terminated": torch.zeros_like(done)}
    step["state_value"] = torch.randn(3, 8, 1)
    root = {"observation": torch.randn(3, 8, 3), "action": torch.randn(3, 8, 2)}
    root |= {"action_log_prob": torch.randn(3, 8) - 2, "state_value": torch.randn(3, 8, 1)}
    return TensorDict({**root, "next": step}, [3, 8])


def test_equals_the_function(actor, batch):
    loc, scale = actor[0].module(batch["observation"])
    log_pi = torch.distributions.Normal(loc, scale).log_prob(batch["action"]).sum(-1).detach()
    step = batch["next"]
    advantage, target = vtrace_advantage_estimate(
        0.9,
        log_pi.unsqueeze(-1),
        batch["action_log_prob"].unsqueeze(-1),
        batch["state_value"],
        step["state_value"],
        step["reward"],
        step["done"],
        step["terminated"],
        rho_thresh=1.5,
        c_thresh=0.5,
    )
    module = VTrace(
        gamma=0.9, actor_network=actor, value_network=None, rho_thresh=1.5, c_thresh=0.5
    )
    result = module(batch.clone())
    torch.testing.assert_close(result["advantage"], advantage)
    torch.testing.assert_close(result["value_target"], target)
    module.average_adv = True
    scaled = module(batch.clone())["advantage"]
    torch.testing.assert_close(scaled, (advantage - advantage.mean()) / advantage.std())


def test_it_reads_the_policy(actor):
    keys = VTrace(gamma=0.9, actor_network=actor, value_network=None).in_keys
    assert {"observation", "action", "action_log_prob"} <= set(keys)


def test_missing_log_prob(actor, batch):
    del batch["action_log_prob"]
    with pytest.raises(MissingKeyError, match="`return_log_prob=True`"):
        VTrace(gamma=0.9, actor_network=actor, value_network=None)(batch)


def test_log_prob_with_trailing_dimension(actor, batch):
    batch["action_log_prob"] = batch["action_log_prob"].unsqueeze(-1)
    with pytest.raises(ShapeError, match=r"Store `action_log_prob.squeeze\(-1\)`"):
        VTrace(gamma=0.9, actor_network=actor, value_network=None)(batch)
