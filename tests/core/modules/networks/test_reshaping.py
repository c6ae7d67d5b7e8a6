import pytest
import torch

from rl.core.errors import ShapeError
from rl.core.modules import SquashDims, Squeeze2dLayer, SqueezeLayer


@pytest.mark.parametrize("batch", [(), (5,), (5, 2)])
def test_squash_keeps_the_batch(batch):
    x = torch.randn(*batch, 3, 4, 2)
    assert torch.equal(SquashDims()(x), x.reshape(*batch, 24))
    assert torch.equal(SquashDims(2)(x), x.reshape(*batch, 3, 8))


@pytest.mark.parametrize("batch", [(), (5,), (1, 1)])
def test_squeeze_takes_the_named_dimensions_only(batch):
    x = torch.randn(*batch, 1, 4, 1)
    assert SqueezeLayer()(x).shape == (*batch, 1, 4)
    assert SqueezeLayer((-3, -1))(x).shape == (*batch, 4)
    assert Squeeze2dLayer()(torch.zeros(*batch, 4, 1, 1)).shape == (*batch, 4)


def test_bad_input():
    with pytest.raises(ShapeError, match="count from the end"):
        SqueezeLayer((1,))
    with pytest.raises(ShapeError, match="pool them to one entry"):
        Squeeze2dLayer()(torch.zeros(2, 4, 3, 1))
    with pytest.raises(ShapeError, match="expected size 1"):
        SqueezeLayer((-3,))(torch.zeros(1, 1))
    with pytest.raises(ShapeError, match="`ndims_in=2` or fewer"):
        SquashDims()(torch.zeros(2, 2))
