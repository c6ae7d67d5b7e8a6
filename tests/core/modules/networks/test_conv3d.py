import pytest
import torch
from torch import nn

from rl.core.errors import ShapeError
from rl.core.modules import Conv3dNet


@pytest.mark.parametrize("batch", [(), (2,), (5, 2)])
def test_any_batch(batch):
    net = Conv3dNet(in_features=3, num_cells=[4, 5], kernel_sizes=[3, (1, 3, 5)], strides=[2, 1])
    # (11 - 3) // 2 + 1 = 5 each way, then 5, 3 and 1: 5 * 5 * 3 * 1 features
    assert net(torch.zeros(*batch, 3, 11, 11, 11)).shape == (*batch, 75)


def test_lazy_channels_and_aggregator():
    net = Conv3dNet(
        num_cells=[4],
        aggregator_class=nn.AdaptiveAvgPool3d,
        aggregator_kwargs={"output_size": (1, 1, 1)},
        squeeze_output=True,
    )
    assert net(torch.zeros(2, 3, 4, 4, 4)).shape == (2, 4)
    assert net[0].in_channels == 3
    whole = Conv3dNet(num_cells=[4], aggregator_class=None, squeeze_output=True)
    assert whole(torch.zeros(2, 3, 4, 4, 4)).shape == (2, 4, 2, 2, 2)


def test_two_dimensions_as_time_of_length_one():
    """A kernel of one step over one step is a convolution in two dimensions."""
    net = Conv3dNet(in_features=3, num_cells=[4], kernel_sizes=[(1, 3, 3)])
    flat = nn.Conv2d(3, 4, 3)
    flat.load_state_dict({"weight": net[0].weight.squeeze(2), "bias": net[0].bias})
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(net(x.unsqueeze(2)), nn.functional.elu(flat(x)).flatten(1))


def test_bad_input():
    with pytest.raises(ShapeError, match=r"expected \[\*B, C, D, H, W\]"):
        Conv3dNet()(torch.zeros(3, 8, 8))
    with pytest.raises(ShapeError, match=r"`Conv3dNet` has 2 layers.*give one entry per layer"):
        Conv3dNet(num_cells=[4, 4], kernel_sizes=[3])
