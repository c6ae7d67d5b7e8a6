import pytest
import torch

from rl.core.errors import RLError, ShapeError
from rl.core.modules import RSSMPosteriorV3, RSSMPriorV3
from rl.core.specs import Bounded

MODELS = ["gru", "block_gru"]


def prior(model="gru", **kwargs):
    settings = {"action_shape": (2,), "recurrent_model": model}
    return RSSMPriorV3(None, 10, 16, 3, 4, **{**settings, **kwargs})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
def test_prior_shapes(model, batch):
    inputs = torch.zeros(*batch, 12), torch.zeros(*batch, 16), torch.zeros(*batch, 2)
    logits, state, belief = prior(model)(*inputs)
    assert logits.shape == (*batch, 3, 4)
    assert state.shape == (*batch, 12)
    assert belief.shape == (*batch, 16)
    assert (state.unflatten(-1, (3, 4)).sum(-1) == 1).all()


@pytest.mark.parametrize("model", MODELS)
def test_prior_reads_everything_and_learns(model):
    net = prior(model)
    inputs = [torch.randn(5, size, requires_grad=True) for size in (12, 16, 2)]
    net(*inputs)[1].mul(torch.randn(12)).sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in inputs)
    assert all(p.grad is not None for p in net.parameters())


def test_actions_of_any_shape():
    net = RSSMPriorV3(Bounded(-1, 1, (2, 3)), 10, 16, 3, 4, action_dim=6)
    state, belief = torch.zeros(5, 12), torch.zeros(5, 16)
    assert net(state, belief, torch.zeros(5, 2, 3))[0].shape == (5, 3, 4)
    scalar = prior(action_shape=())
    assert scalar(state, belief, torch.zeros(5))[0].shape == (5, 3, 4)
    one_hot = torch.nn.functional.one_hot(torch.zeros(5, dtype=torch.int64), 2)
    assert prior()(state, belief, one_hot)[0].shape == (5, 3, 4)


@pytest.mark.parametrize("model", MODELS)
def test_unimix_is_in_the_draws_and_not_in_the_logits(model):
    torch.manual_seed(0)
    nets = [prior(model, unimix=share) for share in (0.0, 0.4)]
    nets[1].load_state_dict(nets[0].state_dict())
    inputs = [x.expand(8000, -1) for x in (torch.zeros(12), torch.ones(16), torch.ones(2))]
    for net in nets:
        for parameter in net.rnn_to_prior_projector.parameters():
            parameter.data.mul_(4)
    (logits, _, _), (mixed, draws, _) = (net(*inputs) for net in nets)
    torch.testing.assert_close(logits, mixed)
    expected = 0.6 * logits[0].softmax(-1) + 0.1
    assert expected.max() - expected.min() > 0.2
    torch.testing.assert_close(draws.mean(0), expected.flatten(), atol=0.03, rtol=0)


def test_unimix_of_the_posterior():
    torch.manual_seed(0)
    posterior = RSSMPosteriorV3(10, 3, 4, unimix=0.4)
    logits, draws = posterior(torch.ones(8000, 16), torch.ones(8000, 7))
    expected = 0.6 * logits[0].softmax(-1) + 0.1
    torch.testing.assert_close(draws.mean(0), expected.flatten(), atol=0.03, rtol=0)


@pytest.mark.parametrize("rms", [False, True])
@pytest.mark.parametrize("dims", [{}, {"rnn_hidden_dim": 16, "obs_embed_dim": 7}], ids=str)
@pytest.mark.parametrize("batch", [(), (2, 5)])
def test_posterior_shapes(rms, dims, batch):
    posterior = RSSMPosteriorV3(10, 3, 4, use_rms_norm=rms, num_layers=2, **dims)
    logits, state = posterior(torch.zeros(*batch, 16), torch.zeros(*batch, 7))
    assert logits.shape == (*batch, 3, 4)
    assert state.shape == (*batch, 12)


def test_bad_input():
    for kwargs in ({}, {"action_spec": Bounded(-1, 1, (2,)), "action_shape": (2,)}):
        with pytest.raises(RLError, match="pass either"):
            RSSMPriorV3(**kwargs)
    with pytest.raises(ShapeError, match="drop `action_dim`"):
        prior(action_dim=3)
    with pytest.raises(RLError, match="'block_gru'"):
        prior("lstm")
    with pytest.raises(ShapeError, match="multiple of `num_blocks`"):
        prior("block_gru", num_blocks=5)
    with pytest.raises(RLError, match="unimix"):
        prior(unimix=1.0)
    with pytest.raises(ShapeError, match=r"expected \[5, 2\]"):
        prior()(torch.zeros(5, 12), torch.zeros(5, 16), torch.zeros(5))
    with pytest.raises(RLError, match="at least 1"):
        RSSMPosteriorV3(num_layers=0)
