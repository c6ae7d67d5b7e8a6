import math

import pytest
import torch

from rl.core.errors import SpecError
from rl.core.specs import Unbounded, UnboundedContinuous, UnboundedDiscrete


def test_defaults():
    spec = Unbounded()
    assert spec.shape == (1,)
    assert (spec.dtype, spec.domain) == (torch.float32, "continuous")
    assert spec.space.low.tolist() == [-math.inf]
    assert Unbounded(3).shape == (3,)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool]
)
def test_draws_have_the_dtype_and_are_in(dtype):
    spec = Unbounded((2, 3), dtype=dtype)
    assert spec.is_in(spec.rand((5,)))
    assert spec.rand().dtype == dtype
    assert spec.domain == ("continuous" if dtype.is_floating_point else "discrete")


def test_small_integers_cover_their_range():
    draws = Unbounded((4000,), dtype=torch.uint8).rand()
    assert (draws.min().item(), draws.max().item()) == (0, 255)
    assert Unbounded((50,), dtype=torch.bool).rand().unique().tolist() == [False, True]


def test_limits_are_the_dtypes():
    space = Unbounded((1,), dtype=torch.int8).space
    assert (space.low.item(), space.high.item()) == (-128, 127)
    assert Unbounded((2,), dtype=torch.int8).cardinality() == 256**2
    assert Unbounded((2,)).cardinality() == math.inf


def test_flavours():
    assert isinstance(UnboundedContinuous((2,)), Unbounded)
    assert UnboundedContinuous((2,)) == Unbounded((2,))
    assert UnboundedDiscrete((2,)) == Unbounded((2,), dtype=torch.int64)
    with pytest.raises(SpecError, match="use `UnboundedDiscrete`"):
        UnboundedContinuous((2,), dtype=torch.int64)
    with pytest.raises(SpecError, match="use `UnboundedContinuous`"):
        UnboundedDiscrete((2,), dtype=torch.float32)


def test_unknown_sizes_match_any_and_are_drawn_as_one():
    spec = Unbounded((-1, 2))
    assert spec.rand().shape == (1, 2)
    assert spec.is_in(torch.zeros(9, 2))
    assert not spec.is_in(torch.zeros(9, 3))
    assert spec.unsqueeze(0).shape == (1, -1, 2)
    assert Unbounded((4, 2)).make_neg_dim(0) == spec


def test_any_value_is_in_and_projection_casts():
    spec = Unbounded((2,))
    assert spec.is_in(torch.tensor([math.nan, math.inf]))
    assert spec.project(torch.tensor([1, 2])).dtype == torch.float32


def test_views_devices_and_copies():
    spec = Unbounded((2, 1))
    assert spec.squeeze().space.low.shape == (2,)
    assert spec.to("meta").space.low.device.type == "meta"
    assert spec.to(torch.int64).space.low[0, 0].item() == torch.iinfo(torch.int64).min
    assert spec.clone() == spec
