"""Log-probs of stored actions."""

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

from rl.core.distributions import FusedCategorical
from rl.core.errors import MissingKeyError, ShapeError
from rl.objectives.log_prob import check_log_prob, policy_dist, policy_log_prob


def make(*tail):
    return ProbabilisticTensorDictSequential(
        TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"]),
        ProbabilisticTensorDictModule(["logits"], ["action"], distribution_class=FusedCategorical),
        *tail,
    )


def make_like(actor):
    """The first two modules of an actor."""
    return ProbabilisticTensorDictSequential(*actor.module[:2])


@pytest.fixture
def batch():
    data = {"observation": torch.randn(5, 3), "action": torch.tensor([0, 1, 2, 3, 0])}
    return TensorDict(data, [5])


def test_policy_log_prob(batch):
    actor = make()
    expected = actor[0].module(batch["observation"]).log_softmax(-1)
    expected = expected.gather(-1, batch["action"].unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(policy_log_prob(actor, batch), expected)
    assert set(batch.keys()) == {"observation", "action"}


def test_a_module_after_the_head(batch):
    actor = make(TensorDictModule(lambda a: a, ["action"], ["copy"]))
    assert isinstance(policy_dist(actor, batch), CompositeDistribution)
    torch.testing.assert_close(
        policy_log_prob(actor, batch), policy_log_prob(make_like(actor), batch)
    )


def test_missing_action(batch):
    with pytest.raises(MissingKeyError, match=r"`set_keys\(action=...\)`"):
        policy_log_prob(make(), batch.exclude("action"))


def test_shapes():
    check_log_prob("lp", torch.zeros(5), torch.Size([5]))
    with pytest.raises(ShapeError, match=r"\[5, 1\], expected \[5\].*Store `lp.squeeze\(-1\)`"):
        check_log_prob("lp", torch.zeros(5, 1), torch.Size([5]))
    with pytest.raises(ShapeError, match="one number per action"):
        check_log_prob("lp", torch.zeros(5, 2), torch.Size([5]))
