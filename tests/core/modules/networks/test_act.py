import pytest
import torch

from rl.core.errors import RLError, ShapeError
from rl.core.modules import ACTModel

SMALL = {
    "hidden_dim": 16,
    "nheads": 2,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "latent_dim": 3,
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ACTModel(6, 2, 5, **SMALL)


@pytest.mark.parametrize("batch", [(), (4,), (4, 3)])
def test_shapes(model, batch):
    obs, chunk = torch.randn(*batch, 6), torch.randn(*batch, 5, 2)
    for out in (model(obs, chunk), model(obs)):
        assert [x.shape for x in out] == [(*batch, 5, 2), (*batch, 3), (*batch, 3)]


def test_without_a_chunk_the_style_is_its_prior_mean(model):
    model.eval()
    pred, mu, log_var = model(torch.randn(4, 6))
    assert mu.eq(0).all()
    assert log_var.eq(0).all()
    assert pred.unique(dim=0).shape[0] == 4, "the observation counts"
    assert pred[0].unique(dim=0).shape[0] == 5, "each query asks for its own action"


def test_the_posterior_reads_observation_and_chunk(model):
    model.eval()
    obs, chunk = torch.randn(1, 6), torch.randn(1, 5, 2)
    mu = model(obs, chunk)[1]
    assert not torch.allclose(model(obs + 1, chunk)[1], mu)
    for step in range(5):
        other = chunk.clone()
        other[:, step] += 1
        assert not torch.allclose(model(obs, other)[1], mu)
    assert not torch.allclose(model(obs, chunk.flip(1))[1], mu), "their order counts"


def test_the_style_is_drawn_in_training():
    model, obs, chunk = (
        ACTModel(6, 2, 5, dropout=0.0, **SMALL),
        torch.randn(1, 6),
        torch.ones(1, 5, 2),
    )
    assert not torch.equal(model(obs, chunk)[0], model(obs, chunk)[0])
    assert torch.equal(model(obs, chunk)[1], model(obs, chunk)[1])
    model.eval()
    assert torch.equal(model(obs, chunk)[0], model(obs, chunk)[0])


def test_gradients_reach_every_parameter(model):
    pred, mu, log_var = model(torch.randn(4, 6), torch.randn(4, 5, 2))
    (pred.square().sum() + mu.sum() + log_var.sum()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_bad_input(model):
    with pytest.raises(RLError, match="even multiple of the number of heads"):
        ACTModel(6, 2, 5, hidden_dim=10, nheads=4)
    with pytest.raises(ShapeError, match="set `obs_dim`"):
        model(torch.zeros(4, 5))
    with pytest.raises(ShapeError, match="ActionChunkTransform"):
        model(torch.zeros(4, 6), torch.zeros(4, 4, 2))
