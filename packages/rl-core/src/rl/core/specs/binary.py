"""Binary specs: independent bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.shapes import as_shape
from rl.core.specs.space import BinaryBox

__all__ = ["Binary"]


class Binary(TensorSpec):
    """Vectors of `n` independent bits; used for done flags and multi-binary actions.

    Args:
        n: how many bits; by default the last size of `shape`.
        shape: shape of a value, `[n]` by default.
        device: where values are; None means torch's default device.
        dtype: dtype of a value.

    Raises:
        SpecError: neither `n` nor `shape` is given, or they disagree.

    Example:
        >>> spec = Binary(3)
        >>> spec.project(torch.tensor([3.0, 0.2, -1.0]))
        tensor([1, 0, 0], dtype=torch.int8)
    """

    space: BinaryBox

    def __init__(
        self,
        n: int | None = None,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype = torch.int8,
    ) -> None:
        if n is None and shape is None:
            raise SpecError("`Binary` needs `n` or `shape`: Binary(1) or Binary(shape=(8, 1)).")
        size = as_shape(shape, (n,) if n is not None else ())
        if n is not None and n != (size[-1] if size else 1):
            raise SpecError(
                f"`Binary` has a last dimension of n={n}, got shape {list(size)}: give "
                f"shape={(*size[:-1], n)}, or `shape` alone."
            )
        super().__init__(size, BinaryBox(size[-1] if size else 1), device, dtype, "discrete")

    @property
    def n(self) -> int:
        """Number of bits."""
        return self.space.n

    def rand(self, shape: int | Sequence[int] | None = None) -> Tensor:
        """Draw fair bits.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        full = self._draw_shape if shape is None else self._full_shape(shape)
        return torch.randint(2, full, dtype=self.dtype, device=self.device)

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` has this dtype and shape and holds zeros and ones."""
        if not self._matches(val):
            return False
        return val.dtype == torch.bool or bool(((val == 0) | (val == 1)).all())

    def _project(self, val: Tensor) -> Tensor:
        """Give 1 to what is above one half, 0 to the rest."""
        if val.dtype == torch.bool:
            return val.to(self.dtype)
        return (val > 0.5).to(self.dtype)

    def cardinality(self) -> int:
        """Return `2 ** n`: the vectors of a batch are copies of one variable."""
        return 2 ** self._bits()

    def _bits(self) -> int:
        return self._draw_shape[-1] if self.ndim else 1

    def enumerate(self, use_mask: bool = False) -> Tensor:
        """Return the `2 ** n` vectors in counting order, shape `[2 ** n, *shape]`."""
        del use_mask
        n = self._bits()
        count = torch.arange(2**n, device=self.device)
        place = torch.arange(n - 1, -1, -1, device=self.device)
        bits = (count.unsqueeze(-1) >> place) & 1
        if not self.ndim:
            return bits.squeeze(-1).to(self.dtype)
        bits = bits.reshape(-1, *[1] * (self.ndim - 1), n)
        return bits.expand(-1, *self._draw_shape).to(self.dtype)

    def index(self, index: Tensor, tensor_to_index: Tensor) -> Tensor:
        """Return the entries of `tensor_to_index` where a single vector's bits are set."""
        return tensor_to_index[..., index.bool()]

    def _view(self, op: Callable[[Tensor], Tensor]) -> Self:
        new = super()._view(op)
        new.space = BinaryBox(new.shape[-1] if new.shape else 1)
        return new
