import pytest
import torch
from torch import nn
from torch.nn import functional

from rl.core.errors import RLError, ShapeError
from rl.core.modules import DreamerV3MLP


def test_by_hand():
    net = DreamerV3MLP(6, 4, depth=2, num_cells=8, norm_eps=1e-3)
    first, second, last = (layer for layer in net.modules() if isinstance(layer, nn.Linear))
    x = torch.randn(3, 6)
    hidden = x
    for layer in (first, second):
        hidden = layer(hidden)
        hidden = functional.silu(hidden / (hidden.square().mean(-1, keepdim=True) + 1e-3).sqrt())
    torch.testing.assert_close(net(x), last(hidden))
    torch.testing.assert_close(net(x[:, :2], x[:, 2:]), net(x))


def test_first_weights():
    torch.manual_seed(0)
    net = DreamerV3MLP(400, 300, depth=1, num_cells=500, outscale=0.5)
    first, last = (layer for layer in net.modules() if isinstance(layer, nn.Linear))
    assert first.weight.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert last.weight.std().item() == pytest.approx(0.5 * 500**-0.5, rel=0.02)
    assert first.bias.abs().sum() == last.bias.abs().sum() == 0
    zero = DreamerV3MLP(4, 3, outscale=0.0)
    assert zero(torch.randn(5, 4)).abs().max() == 0


def test_no_output_layer_and_no_hidden_layer():
    assert DreamerV3MLP(4, None, depth=1, num_cells=7)(torch.zeros(2, 4)).shape == (2, 7)
    linear = DreamerV3MLP(4, 3, depth=0)
    assert [type(m) for m in linear.modules() if not list(m.children())][-1] is nn.Linear
    assert linear(torch.zeros(4)).shape == (3,)


def test_bad_input():
    with pytest.raises(RLError, match="a hidden layer, or an output"):
        DreamerV3MLP(4, None, depth=0)
    with pytest.raises(ShapeError, match="in_features=4"):
        DreamerV3MLP(4, 3)(torch.zeros(2, 3), torch.zeros(2, 3))
