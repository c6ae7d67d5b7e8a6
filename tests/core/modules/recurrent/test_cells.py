import math

import pytest
import torch
from torch import nn

from rl.core.errors import ShapeError
from rl.core.modules import GRUCell, LSTMCell


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_lstm_by_hand():
    cell = LSTMCell(1, 1)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[0.1], [0.2], [0.3], [0.4]]))
        cell.weight_hh.copy_(torch.tensor([[0.5], [0.6], [0.7], [0.8]]))
        cell.bias_ih.copy_(torch.tensor([0.01, 0.02, 0.03, 0.04]))
        cell.bias_hh.zero_()
    h, c = cell(torch.tensor([[2.0]]), (torch.tensor([[0.3]]), torch.tensor([[-0.4]])))
    i, f = sigmoid(0.2 + 0.15 + 0.01), sigmoid(0.4 + 0.18 + 0.02)
    g, o = math.tanh(0.6 + 0.21 + 0.03), sigmoid(0.8 + 0.24 + 0.04)
    expected = f * -0.4 + i * g
    assert c.item() == pytest.approx(expected, abs=1e-6)
    assert h.item() == pytest.approx(o * math.tanh(expected), abs=1e-6)


def test_gru_by_hand():
    cell = GRUCell(1, 1)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[0.1], [0.2], [0.3]]))
        cell.weight_hh.copy_(torch.tensor([[0.5], [0.6], [0.7]]))
        cell.bias_ih.copy_(torch.tensor([0.01, 0.02, 0.03]))
        cell.bias_hh.copy_(torch.tensor([0.0, 0.0, 0.5]))
    h = cell(torch.tensor([[2.0]]), torch.tensor([[0.3]]))
    r, z = sigmoid(0.2 + 0.15 + 0.01), sigmoid(0.4 + 0.18 + 0.02)
    n = math.tanh(0.6 + 0.03 + r * (0.21 + 0.5))
    assert h.item() == pytest.approx((1 - z) * n + z * 0.3, abs=1e-6)


@pytest.mark.parametrize(("ours", "framework"), [(LSTMCell, nn.LSTMCell), (GRUCell, nn.GRUCell)])
@pytest.mark.parametrize("batch", [(), (5,)])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_framework(ours, framework, batch, bias):
    cell, twin = ours(3, 4, bias=bias), framework(3, 4, bias=bias)
    twin.load_state_dict(cell.state_dict())
    x, state = torch.randn(*batch, 3), torch.randn(2, *batch, 4)
    state = tuple(state) if ours is LSTMCell else state[0]
    for given in (None, state):
        torch.testing.assert_close(cell(x, given), twin(x, given))


def test_vmap_over_stacked_weights():
    cells = [GRUCell(3, 4) for _ in range(2)]
    params = {k: torch.stack([c.state_dict()[k] for c in cells]) for k in cells[0].state_dict()}
    x = torch.randn(5, 3)
    out = torch.vmap(lambda p: torch.func.functional_call(cells[0], p, (x,)))(params)
    torch.testing.assert_close(out, torch.stack([cell(x) for cell in cells]))


@pytest.mark.parametrize("cell", [LSTMCell(3, 4), GRUCell(3, 4)])
def test_wrong_size(cell):
    with pytest.raises(ShapeError, match="`input_size` of the data"):
        cell(torch.zeros(5, 2))
