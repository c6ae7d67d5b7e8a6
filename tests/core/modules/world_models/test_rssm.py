import pytest
import torch
from torch.nn import functional

from rl.core.errors import SpecError
from rl.core.modules import RSSMPosterior, RSSMPrior
from rl.core.specs import Bounded

BOX = Bounded(-1, 1, (2,))


def linears(net):
    return [layer for layer in net.modules() if isinstance(layer, torch.nn.Linear)]


def normal_params(net, x):
    """Two layers, the second split into mean and softplus scale of at least 0.1."""
    first, second = linears(net)
    mean, raw = second(functional.elu(first(x))).chunk(2, -1)
    return mean, functional.softplus(raw).clamp(min=0.1)


def test_prior_is_the_papers():
    prior = RSSMPrior(BOX, hidden_dim=5, rnn_hidden_dim=6, state_dim=3, action_dim=2)
    state, belief, action = torch.randn(4, 3), torch.randn(4, 6), torch.randn(4, 2)
    noise = torch.randn(4, 3)
    mean, std, draw, following = prior(state, belief, action, noise)
    (project,) = linears(prior.action_state_projector)
    hidden = functional.elu(project(torch.cat([state, action], -1)))
    torch.testing.assert_close(following, prior.rnn(hidden, belief))
    expected = normal_params(prior.rnn_to_prior_projector, following)
    torch.testing.assert_close((mean, std), expected)
    torch.testing.assert_close(draw, mean + std * noise)


def test_posterior_is_the_papers():
    posterior = RSSMPosterior(hidden_dim=5, state_dim=3, rnn_hidden_dim=6, obs_embed_dim=7)
    belief, embedding, noise = torch.randn(4, 6), torch.randn(4, 7), torch.randn(4, 3)
    mean, std, draw = posterior(belief, embedding, noise)
    expected = normal_params(
        posterior.obs_rnn_to_post_projector, torch.cat([belief, embedding], -1)
    )
    torch.testing.assert_close((mean, std), expected)
    torch.testing.assert_close(draw, mean + std * noise)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_any_batch_lazy_and_known(batch):
    for dims in ({}, {"action_dim": 2}):
        prior = RSSMPrior(BOX, 5, 6, 3, **dims)
        out = prior(torch.zeros(*batch, 3), torch.zeros(*batch, 6), torch.zeros(*batch, 2))
        assert [x.shape for x in out] == [(*batch, 3)] * 3 + [(*batch, 6)]
    for dims in ({}, {"rnn_hidden_dim": 6, "obs_embed_dim": 7}):
        posterior = RSSMPosterior(5, 3, **dims)
        out = posterior(torch.zeros(*batch, 6), torch.zeros(*batch, 7))
        assert [x.shape for x in out] == [(*batch, 3)] * 3


def test_draws_are_normal_and_differentiable():
    torch.manual_seed(0)
    posterior = RSSMPosterior(5, 3)
    mean, std, draw = posterior(torch.ones(20_000, 6), torch.ones(20_000, 7))
    torch.testing.assert_close(draw.mean(0), mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(draw.std(0), std[0], atol=0.03, rtol=0)
    draw.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in posterior.parameters())


def test_bad_action_dim():
    with pytest.raises(SpecError, match="drop `action_dim`"):
        RSSMPrior(BOX, action_dim=3)
