import pytest
import torch
from torch import nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules import DTConfig
from rl.core.modules.networks.causal_transformer import CausalTransformer

SMALL = {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_inner": 16}


def slow_attention(layer, x):
    """One head, one query at a time, over the tokens up to it."""
    q, k, v = layer.qkv(x).chunk(3, -1)
    size = x.shape[-1] // layer.heads
    out = torch.zeros_like(x)
    for head in range(layer.heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(x.shape[-2]):
            weights = torch.stack([q[i, part] @ k[j, part] for j in range(i + 1)]) / size**0.5
            out[i, part] = weights.softmax(0) @ v[: i + 1, part]
    return layer.out(out)


def test_a_block_against_a_slow_reference():
    trunk = CausalTransformer(DTConfig(**{**SMALL, "n_layer": 1})).eval()
    (block,), x = trunk.blocks, torch.randn(5, 8)
    y = x + slow_attention(block.attention, block.norm_1(x))
    y = y + block.perceptron(block.norm_2(y))
    torch.testing.assert_close(trunk(x), trunk.norm(y))


@pytest.mark.parametrize("batch", [(), (3,), (3, 2)])
def test_any_batch(batch):
    trunk, x = CausalTransformer(DTConfig(**SMALL)).eval(), torch.randn(*batch, 5, 8)
    out = trunk(x)
    assert out.shape == x.shape
    torch.testing.assert_close(out.reshape(-1, 5, 8)[0], trunk(x.reshape(-1, 5, 8)[0]))


@pytest.mark.parametrize(
    ("name", "kind"), [("relu", nn.ReLU), ("gelu_new", nn.GELU), ("silu", nn.SiLU)]
)
def test_activation_by_name(name, kind):
    trunk = CausalTransformer(DTConfig(**SMALL, activation=name))
    assert isinstance(trunk.blocks[1].perceptron[1], kind)


def test_dropout_in_training_only():
    trunk, x = CausalTransformer(DTConfig(**SMALL)), torch.randn(5, 8)
    assert not torch.equal(trunk(x), trunk(x))
    trunk.eval()
    assert torch.equal(trunk(x), trunk(x))


def test_bad_input():
    with pytest.raises(RLError, match="Did you mean `relu`"):
        CausalTransformer(DTConfig(**SMALL, activation="rleu"))
    with pytest.raises(RLError, match="equal part of the embedding"):
        CausalTransformer(DTConfig(**{**SMALL, "n_head": 3}))
    with pytest.raises(ShapeError, match="set `n_embd`"):
        CausalTransformer(DTConfig(**SMALL))(torch.zeros(5, 7))
