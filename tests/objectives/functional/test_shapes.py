"""The border check of the pure functions."""

import pytest
import torch

from rl.core.errors import ShapeError
from rl.objectives.functional.shapes import check_same_shape


def test_passes_and_skips_none():
    check_same_shape(torch.ones(2, 1), reward=torch.ones(2, 1), terminated=None)


def test_names_the_offender():
    with pytest.raises(ShapeError, match=r"`done` has shape \[3, 1\], expected \[2, 1\]"):
        check_same_shape(torch.ones(2, 1), reward=torch.ones(2, 1), done=torch.ones(3, 1))
