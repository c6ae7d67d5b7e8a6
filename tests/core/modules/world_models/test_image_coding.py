import pytest
import torch
from torch import nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules import ObsDecoder, ObsEncoder


class TestEncoder:
    @pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
    def test_any_batch(self, batch):
        # 64 -> 31 -> 14 -> 6 -> 2: 2 * 2 * 256 features
        assert ObsEncoder()(torch.zeros(*batch, 3, 64, 64)).shape == (*batch, 1024)

    def test_batched_result_is_the_stack_of_results(self):
        net, x = ObsEncoder(channels=4, num_layers=2), torch.randn(2, 3, 12, 12)
        torch.testing.assert_close(net(x)[1], net(x[1]))

    def test_arguments(self):
        net = ObsEncoder(depth=8, num_layers=2, in_channels=1)
        convs = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
        assert [(c.in_channels, c.out_channels) for c in convs] == [(1, 8), (8, 16)]
        assert not any(isinstance(c, nn.LazyConv2d) for c in convs)

    def test_bad_input(self):
        with pytest.raises(ShapeError, match=r"at least 46.*lower `num_layers`"):
            ObsEncoder()(torch.zeros(3, 45, 64))
        assert ObsEncoder()(torch.zeros(3, 46, 46)).shape == (256,)
        with pytest.raises(RLError, match="at least 1"):
            ObsEncoder(num_layers=0)


class TestDecoder:
    @pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
    def test_any_batch(self, batch):
        image = ObsDecoder()(torch.zeros(*batch, 30), torch.zeros(*batch, 200))
        assert image.shape == (*batch, 3, 64, 64)

    def test_arguments(self):
        net = ObsDecoder(channels=4, num_layers=3, kernel_sizes=[3, 4, 5], latent_dim=6)
        # 1 -> 3 -> 8 -> 19
        assert net(torch.zeros(2), torch.zeros(4)).shape == (3, 19, 19)
        convs = [layer for layer in net.modules() if isinstance(layer, nn.ConvTranspose2d)]
        assert [c.out_channels for c in convs] == [8, 4, 3]
        grey = ObsDecoder(out_channels=1, depth=4, num_layers=2)
        assert grey(torch.zeros(2), torch.zeros(4)).shape == (1, 13, 13)

    def test_bad_input(self):
        with pytest.raises(ShapeError, match="give one entry per layer"):
            ObsDecoder(kernel_sizes=[3, 4])
        with pytest.raises(RLError, match="at least 2"):
            ObsDecoder(num_layers=1)
