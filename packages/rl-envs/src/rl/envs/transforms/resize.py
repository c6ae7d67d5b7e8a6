"""Resize: images of another size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from rl.core.contract.keys import NestedKey
from rl.core.errors import ShapeError, SpecError, nearest
from rl.core.specs import TensorSpec
from rl.envs.transforms.leaf_spec import map_bounds, unbounded_like
from rl.envs.transforms.pixels import PixelTransform

__all__ = ["Resize"]

MODES = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
SMOOTH = ("bilinear", "bicubic")


class Resize(PixelTransform):
    """Resize images by interpolation, with anti-aliasing where the image shrinks.

    Reads:
        pixels: `[*B, C, H, W]`.
    Writes:
        pixels: `[*B, C, h, w]` of the same dtype.

    Args:
        w: new width.
        h: new height; `w` by default.
        interpolation: `"bilinear"`, `"bicubic"`, `"nearest"`, `"nearest-exact"` or `"area"`.
        in_keys: images; `["pixels"]` by default.
        out_keys: keys written; `in_keys` by default.

    Raises:
        SpecError: a size is not positive, or the interpolation has another name.

    Example:
        >>> from tensordict import TensorDict
        >>> Resize(w=4, h=2)(TensorDict({"pixels": torch.zeros(3, 8, 8)}))["pixels"].shape
        torch.Size([3, 2, 4])
    """

    batchable = True

    def __init__(
        self,
        w: int,
        h: int | None = None,
        interpolation: str = "bilinear",
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        h = w if h is None else h
        if w < 1 or h < 1:
            raise SpecError(f"`Resize` got w={w}, h={h}: give sizes of at least 1 pixel.")
        mode = str(getattr(interpolation, "value", interpolation)).lower()
        if mode not in MODES:
            raise SpecError(f"`interpolation` is {interpolation!r}. {nearest(mode, MODES)}")
        super().__init__(in_keys=in_keys, out_keys=out_keys)
        self.w = int(w)
        self.h = int(h)
        self.interpolation = mode

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        if tensor.ndim < 3:
            raise ShapeError(
                f"The image has shape {list(tensor.shape)}, expected [*B, C, H, W]: put "
                "`ToTensorImage` before `Resize`."
            )
        if tensor.shape[-2:] == (self.h, self.w):
            return tensor
        exact = tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())
        options = (
            {"align_corners": False, "antialias": True} if self.interpolation in SMOOTH else {}
        )
        image = interpolate(
            exact.reshape(-1, *tensor.shape[-3:]),
            size=(self.h, self.w),
            mode=self.interpolation,
            **options,
        ).reshape(*tensor.shape[:-2], self.h, self.w)
        if tensor.is_floating_point():
            return image
        limits = torch.iinfo(tensor.dtype)
        return image.round_().clamp_(limits.min, limits.max).to(tensor.dtype)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        if self.interpolation == "bicubic" and spec.dtype.is_floating_point:
            # the cubic kernel has negative lobes: values may leave the interval
            return unbounded_like(spec, shape=self._apply_transform(spec.zero()).shape)
        return map_bounds(spec, self._apply_transform)
