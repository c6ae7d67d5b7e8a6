"""Bits to whole numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl.core.errors import ShapeError

__all__ = ["BinaryToDecimal"]


class BinaryToDecimal(nn.Module):
    """Reads the last dimension as binary numbers, the highest bit first.

    Where there are several groups of `num_bits`, their numbers are summed.

    Args:
        num_bits: how many bits make a number.
        device: where the inputs are.
        dtype: of the result.
        convert_to_binary: whether positive numbers count as ones and all else as zeros; without,
            the inputs are zeros and ones.

    Raises:
        ValueError: `num_bits` is not positive.
        ShapeError: at call, the last dimension is no multiple of `num_bits`.

    Example:
        >>> to_decimal = BinaryToDecimal(4, "cpu", torch.int32, convert_to_binary=True)
        >>> to_decimal(torch.tensor([[0, 0, 1, 1], [0, 0, 10, 0]]))
        tensor([3, 2], dtype=torch.int32)
    """

    def __init__(
        self,
        num_bits: int,
        device: torch.device | str,
        dtype: torch.dtype,
        convert_to_binary: bool = False,
    ) -> None:
        super().__init__()
        if num_bits <= 0:
            raise ValueError(f"`num_bits` is {num_bits}, expected a positive number of bits.")
        self.num_bits = num_bits
        self.convert_to_binary = convert_to_binary
        bases = 2 ** torch.arange(num_bits - 1, -1, -1, device=device)
        self.register_buffer("bases", bases.to(dtype))

    def forward(self, features: Tensor) -> Tensor:
        """Return the numbers.

        Args:
            features: `[*B, k * num_bits]`.

        Returns:
            `[*B]`.
        """
        if features.ndim == 0 or features.shape[-1] % self.num_bits:
            raise ShapeError(
                f"`features` has shape {list(features.shape)}, expected a last dimension that is a "
                f"multiple of {self.num_bits}: choose a `num_bits` that divides it."
            )
        bits = features > 0 if self.convert_to_binary else features
        groups = bits.unflatten(-1, (-1, self.num_bits)).to(self.bases.dtype)
        return (groups * self.bases).sum((-1, -2), dtype=self.bases.dtype)
