"""Crop and CenterCrop: a window of an image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import ShapeError, SpecError
from rl.core.specs import TensorSpec
from rl.envs.transforms.leaf_spec import rearrange
from rl.envs.transforms.pixels import PixelTransform

__all__ = ["CenterCrop", "Crop"]


class Crop(PixelTransform):
    """Cut the window `[top:top + h, left:left + w]` out of images.

    Reads:
        pixels: `[*B, H, W]`, dimensions before the last two are kept.
    Writes:
        pixels: `[*B, h, w]`.

    Args:
        w: width of the window.
        h: height of the window; `w` by default.
        top: first row.
        left: first column.
        in_keys: images; `["pixels"]` by default.
        out_keys: keys written; `in_keys` by default.

    Raises:
        SpecError: a size is not positive or an offset is negative.
        ShapeError: the window reaches out of the image.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> Crop(w=2, h=1, left=1)(TensorDict({"pixels": torch.arange(4.0).view(1, 4)}))["pixels"]
        tensor([[1., 2.]])
    """

    batchable = True

    def __init__(
        self,
        w: int,
        h: int | None = None,
        top: int = 0,
        left: int = 0,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        _check_size(w, w if h is None else h)
        if top < 0 or left < 0:
            raise SpecError(f"`Crop` got top={top}, left={left}: give offsets of 0 or more.")
        super().__init__(in_keys=in_keys, out_keys=out_keys)
        self.w = w
        self.h = w if h is None else h
        self.top = top
        self.left = left

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return _window(tensor, self.top, self.left, self.h, self.w)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return rearrange(spec, self._apply_transform)


class CenterCrop(PixelTransform):
    """Cut a window of `h` by `w` pixels out of the middle of images.

    Reads:
        pixels: `[*B, H, W]`, dimensions before the last two are kept.
    Writes:
        pixels: `[*B, h, w]`.

    Args:
        w: width of the window.
        h: height of the window; `w` by default.
        in_keys: images; `["pixels"]` by default.
        out_keys: keys written; `in_keys` by default.

    Raises:
        SpecError: a size is not positive.
        ShapeError: the window is larger than the image.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> CenterCrop(w=2, h=1)(TensorDict({"pixels": torch.arange(4.0).view(1, 4)}))["pixels"]
        tensor([[1., 2.]])
    """

    batchable = True

    def __init__(
        self,
        w: int,
        h: int | None = None,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        _check_size(w, w if h is None else h)
        super().__init__(in_keys=in_keys, out_keys=out_keys)
        self.w = w
        self.h = w if h is None else h

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        height, width = tensor.shape[-2:]
        return _window(tensor, (height - self.h) // 2, (width - self.w) // 2, self.h, self.w)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return rearrange(spec, self._apply_transform)


def _check_size(w: int, h: int) -> None:
    if w < 1 or h < 1:
        raise SpecError(f"The window has w={w}, h={h}: give sizes of at least 1 pixel.")


def _window(tensor: Tensor, top: int, left: int, h: int, w: int) -> Tensor:
    height, width = tensor.shape[-2:]
    if top < 0 or left < 0 or top + h > height or left + w > width:
        raise ShapeError(
            f"The window of {h}x{w} pixels at row {top}, column {left} reaches out of the image of "
            f"{height}x{width}: make it smaller."
        )
    return tensor[..., top : top + h, left : left + w]
