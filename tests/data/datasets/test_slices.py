import pytest

from rl.data import SliceSampler, SliceSamplerWithoutReplacement
from rl.data.datasets.slices import slice_sampler


def test_arguments_choose_the_sampler():
    assert slice_sampler(None, None) is None
    assert type(slice_sampler(2, None)) is SliceSampler
    assert type(slice_sampler(None, 3, replacement=False)) is SliceSamplerWithoutReplacement


def test_arguments_that_contradict():
    with pytest.raises(ValueError, match="pass one of the two"):
        slice_sampler(2, 3)
    with pytest.raises(ValueError, match="needs `replacement=True`"):
        slice_sampler(2, None, replacement=False, pad=True)
