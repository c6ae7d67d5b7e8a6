"""Hashes of random projections: wide rows, and rows that differ by noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rl.core.errors import ShapeError
from rl.data.maps.sip_hash import SipHash

__all__ = ["RandomProjectionHash"]

_DEFAULT_COMPONENTS = 16


class RandomProjectionHash(SipHash):
    """`SipHash` of a random projection of the rows, rounded to a coarse dtype.

    The matrix is drawn at the first call, for the width of its rows: Gaussian entries of variance
    `1 / n_components` (Johnson and Lindenstrauss 1984; Achlioptas 2003, section 1). Rows that
    differ by less than the rounding share a hash.

    Args:
        n_components: the width of the projection, 16 by default.
        dtype_cast: what the projection is rounded to.
        as_tensor: see `SipHash`.
        init_method: fills the matrix `[n_components, features]` in place of Gaussian entries.
        generator: source of the matrix; the global one of torch by default.

    Raises:
        ShapeError: at a later call, rows of another width.

    Example:
        >>> hash_module = RandomProjectionHash(n_components=4)
        >>> x = torch.randn(2, 100)
        >>> hash_module(x).shape, bool((hash_module(x) == hash_module(x + 1e-6)).any())
        (torch.Size([2]), True)
    """

    def __init__(
        self,
        *,
        n_components: int | None = None,
        dtype_cast: torch.dtype = torch.bfloat16,
        as_tensor: bool = True,
        init_method: Callable[[Tensor], Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(as_tensor)
        self.n_components = _DEFAULT_COMPONENTS if n_components is None else n_components
        self.dtype_cast = dtype_cast
        self.init_method = init_method
        self._generator = generator
        self.register_buffer("projection", None)

    def fit(self, x: Tensor) -> None:
        """Draw the matrix for rows like those of `x`, `[*B, F]`."""
        matrix = torch.empty(self.n_components, x.shape[-1])
        if self.init_method is None:
            matrix.normal_(0.0, self.n_components**-0.5, generator=self._generator)
        else:
            self.init_method(matrix)
        self.projection = matrix.to(x.device)

    def forward(self, x: Tensor) -> Tensor | list[bytes]:
        """Return the hash of each row of `x`, `[*B, F]`; see `SipHash`."""
        if self.projection is None:
            self.fit(x)
        width = self.projection.shape[1]
        if x.ndim == 0 or x.shape[-1] != width:
            raise ShapeError(
                f"`RandomProjectionHash` projects rows of {width} features, given shape "
                f"{list(x.shape)}: hash rows of another width with a module of their own."
            )
        projected = x.to(self.projection.dtype) @ self.projection.t()
        return super().forward(projected.to(self.dtype_cast))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        # the buffer has no size before the first call
        saved = state_dict.get(f"{prefix}projection")
        if saved is not None and self.projection is None:
            self.projection = torch.empty_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *args)
