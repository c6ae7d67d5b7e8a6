"""Layers without parameters that change the shape of what passes through an `nn.Sequential`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from rl.core.errors import ShapeError

__all__ = ["SquashDims", "Squeeze2dLayer", "SqueezeLayer"]


class SquashDims(nn.Module):
    """Flatten the last `ndims_in` dimensions into one.

    Args:
        ndims_in: how many; 3 for images, 4 for volumes.

    Raises:
        ShapeError: at call, the input has fewer dimensions.

    Example:
        >>> import torch
        >>> SquashDims()(torch.zeros(5, 3, 4, 4)).shape
        torch.Size([5, 48])
    """

    def __init__(self, ndims_in: int = 3) -> None:
        super().__init__()
        self.ndims_in = ndims_in

    def forward(self, x: Tensor) -> Tensor:
        """Return `[*B, F]` of `[*B, ...]` with `ndims_in` trailing dimensions."""
        if x.dim() < self.ndims_in:
            raise ShapeError(
                f"`SquashDims` was given shape {list(x.shape)}, expected at least {self.ndims_in} "
                f"dimensions: pass `ndims_in={x.dim()}` or fewer."
            )
        return x.flatten(-self.ndims_in)


class SqueezeLayer(nn.Module):
    """Remove dimensions of size 1.

    Args:
        dims: which, counted from the end, so that batch dimensions may come and go.

    Raises:
        ShapeError: a dimension is counted from the front; at call, one has another size than 1.

    Example:
        >>> import torch
        >>> SqueezeLayer((-1, -3))(torch.zeros(5, 1, 4, 1)).shape
        torch.Size([5, 4])
    """

    def __init__(self, dims: Sequence[int] = (-1,)) -> None:
        super().__init__()
        self.dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if any(dim >= 0 for dim in self.dims):
            raise ShapeError(
                f"`{type(self).__name__}` was given dims={self.dims}, expected negative numbers: "
                "count from the end, batch dimensions come first."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` without the dimensions."""
        depth = x.dim()
        if any(depth + dim < 0 or x.shape[dim] != 1 for dim in self.dims):
            raise ShapeError(
                f"`{type(self).__name__}` was given shape {list(x.shape)}, expected size 1 at the "
                f"dimensions {self.dims}: pool them to one entry first, or drop the layer."
            )
        return x.squeeze(self.dims)


class Squeeze2dLayer(SqueezeLayer):
    """Remove height and width of a feature map that is pooled to one pixel.

    Raises:
        ShapeError: at call, the map has more than one pixel.

    Example:
        >>> import torch
        >>> Squeeze2dLayer()(torch.zeros(5, 8, 1, 1)).shape
        torch.Size([5, 8])
    """

    def __init__(self) -> None:
        super().__init__((-2, -1))
