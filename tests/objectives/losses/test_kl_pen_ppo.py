"""PPO with an adaptive KL penalty."""

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Normal, kl_divergence

from rl.core.errors import MissingKeyError
from rl.core.modules import ProbabilisticActor
from rl.objectives import KLPENPPOLoss


def terms(actor, data):
    loc, scale = actor[0].module(data["observation"])
    new, old = Normal(loc, scale), Normal(data["loc"], data["scale"])
    ratio = (new.log_prob(data["action"]).sum(-1) - data["action_log_prob"]).exp()
    return ratio * data["advantage"].squeeze(-1), kl_divergence(old, new).sum(-1)


def test_values_and_gradients_by_hand(actor, critic, on_policy):
    gain, divergence = terms(actor, on_policy)
    expected = -(gain - 0.7 * divergence).mean()
    losses = KLPENPPOLoss(actor, critic, beta=0.7)(on_policy)
    torch.testing.assert_close(losses["loss_objective"], expected)
    torch.testing.assert_close(losses["kl"], divergence.mean().detach())
    parameters = list(actor.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(losses["loss_objective"], parameters),
        torch.autograd.grad(expected, parameters),
    )


@pytest.mark.parametrize(("factor", "beta"), [(0.5, 2.0), (1.0, 1.0), (2.0, 0.5)])
def test_beta_adapts(actor, critic, on_policy, factor, beta):
    divergence = terms(actor, on_policy)[1].mean().item()
    loss = KLPENPPOLoss(actor, critic, dtarg=factor * divergence)
    loss(on_policy)
    assert loss.beta == beta
    loss.reset()
    assert loss.beta == 1.0


def test_estimated_divergence(on_policy, critic):
    class Opaque(torch.distributions.Independent):
        """A Gaussian whose divergence is not registered."""

        def __init__(self, loc, scale):
            self.parts = Normal(loc, scale)
            super().__init__(Normal(loc, scale, validate_args=False), 1, validate_args=False)

    class Wrapped(torch.distributions.Distribution):
        has_rsample = True

        def __init__(self, loc, scale):
            self.inner = Opaque(loc, scale)
            super().__init__(self.inner.batch_shape, self.inner.event_shape, validate_args=False)

        def rsample(self, shape=()):
            return self.inner.rsample(shape)

        def sample(self, shape=()):
            return self.inner.sample(shape)

        def log_prob(self, value):
            return self.inner.log_prob(value)

        @property
        def mode(self):
            return self.inner.mean

    net = nn.Linear(3, 4)

    class Head(nn.Module):
        def forward(self, x):
            loc, scale = net(x).chunk(2, -1)
            return loc, nn.functional.softplus(scale) + 0.1

    from_net = ProbabilisticActor(
        TensorDictModule(Head(), ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        out_keys=["action"],
        distribution_class=Wrapped,
    )
    loss = KLPENPPOLoss(from_net, critic, samples_mc_kl=5000)
    divergence = terms(from_net, on_policy)[1].mean()
    torch.testing.assert_close(loss(on_policy)["kl"], divergence.detach(), atol=0.1, rtol=0.05)


def test_missing_parameters(actor, critic, on_policy):
    del on_policy["scale"]
    with pytest.raises(MissingKeyError, match=r"`scale` is not in the batch.*Keep what the actor"):
        KLPENPPOLoss(actor, critic)(on_policy)


def test_factors(actor):
    with pytest.raises(ValueError, match="the first must be at least 1"):
        KLPENPPOLoss(actor, increment=0.5)


def test_out_keys(actor, critic, on_policy):
    loss = KLPENPPOLoss(actor, critic)
    assert set(loss.out_keys) == set(loss(on_policy).keys())
    assert {"loc", "scale"} <= set(loss.in_keys)


def test_compiled_equals_eager(actor, critic, on_policy, compiled):
    loss = KLPENPPOLoss(actor, critic)
    expected = loss(on_policy)
    loss.reset()
    for key, value in compiled(loss)(on_policy).items():
        torch.testing.assert_close(value, expected[key], msg=key)
