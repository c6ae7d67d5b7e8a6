import pytest
import torch

from rl.core.errors import ShapeError
from rl.data.maps.binary_to_decimal import BinaryToDecimal


def test_bits_by_hand():
    to_decimal = BinaryToDecimal(4, "cpu", torch.int64)
    bits = torch.tensor([[[0, 1, 0, 1], [1, 1, 1, 1]], [[0, 0, 0, 0], [1, 0, 0, 0]]])
    assert to_decimal(bits).tolist() == [[5, 15], [0, 8]]


def test_groups_are_summed():
    to_decimal = BinaryToDecimal(4, "cpu", torch.int32, convert_to_binary=True)
    values = torch.tensor([[0, 0, 1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, -2, 10, 0.0]])
    out = to_decimal(values)
    assert out.tolist() == [3, 2]
    assert out.dtype is torch.int32


def test_a_width_that_does_not_fit():
    with pytest.raises(ShapeError, match="`num_bits` that divides it"):
        BinaryToDecimal(4, "cpu", torch.int64)(torch.zeros(2, 6))


def test_no_bits():
    with pytest.raises(ValueError, match="positive number of bits"):
        BinaryToDecimal(0, "cpu", torch.int64)
