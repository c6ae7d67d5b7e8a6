import pytest
import torch
from torch.nn import functional

from rl.core.errors import ShapeError
from rl.core.modules.world_models.block_gru import BlockGRU, BlockLinear


def test_block_linear_is_block_diagonal():
    net = BlockLinear(6, 4, num_blocks=2)
    net.bias.data.normal_()
    dense = torch.block_diag(*net.weight)
    x = torch.randn(3, 5, 6)
    torch.testing.assert_close(net(x), x @ dense + net.bias)


def test_cell_by_hand():
    cell = BlockGRU(3, 2, hidden_dim=4, rnn_hidden_dim=6, num_blocks=2)
    state, belief, action = torch.randn(5, 3), torch.randn(5, 6), torch.randn(5, 2)

    def normed(x, size):
        return functional.silu(functional.rms_norm(x, (size,), eps=1e-4))

    scaled = action / action.abs().clamp(min=1)
    nets = (cell.belief_projection, cell.state_projection, cell.action_projection)
    inputs = zip(nets, (belief, state, scaled), strict=True)
    shared = torch.cat([normed(net[0](x), 4) for net, x in inputs], -1)
    blocks = [torch.cat([part, shared], -1) for part in belief.chunk(2, -1)]
    hidden = normed(cell.hidden_layers[0](torch.cat(blocks, -1)), 6)
    left, right = cell.gates(hidden).chunk(2, -1)
    gates = [
        torch.cat(pair, -1) for pair in zip(left.chunk(3, -1), right.chunk(3, -1), strict=True)
    ]
    reset, candidate, update = gates
    update = torch.sigmoid(update - 1)
    expected = update * torch.tanh(torch.sigmoid(reset) * candidate) + (1 - update) * belief
    torch.testing.assert_close(cell(state, belief, action), expected)


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_any_depth_and_batch(layers, batch):
    cell = BlockGRU(3, 2, 4, 8, num_blocks=4, num_layers=layers)
    inputs = [torch.randn(*batch, size) for size in (3, 8, 2)]
    assert cell(*inputs).shape == (*batch, 8)


def test_blocks_see_their_own_belief_alone_through_the_gates():
    """Without the layers that all blocks share, another block's belief has no effect."""
    cell = BlockGRU(3, 2, 4, 8, num_blocks=2, num_layers=0)
    for net in (cell.belief_projection, cell.state_projection, cell.action_projection):
        for parameter in net.parameters():
            parameter.data.zero_()
    belief = torch.randn(8, requires_grad=True)
    cell(torch.zeros(3), belief, torch.zeros(2))[:4].sum().backward()
    assert belief.grad[4:].abs().max() == 0
    assert belief.grad[:4].abs().min() > 0


def test_bad_size():
    with pytest.raises(ShapeError, match="multiple of `num_blocks`"):
        BlockGRU(3, 2, 4, 9, num_blocks=2)
