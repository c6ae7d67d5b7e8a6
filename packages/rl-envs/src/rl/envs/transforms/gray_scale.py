"""GrayScale: one channel instead of three."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.specs import TensorSpec
from rl.envs.transforms.functional import rgb_to_grayscale
from rl.envs.transforms.leaf_spec import map_bounds
from rl.envs.transforms.pixels import PixelTransform

__all__ = ["GrayScale"]


class GrayScale(PixelTransform):
    """Turn RGB images into grey ones by the luma weights of ITU-R BT.601.

    Reads:
        pixels: `[*B, 3, H, W]`.
    Writes:
        pixels: `[*B, 1, H, W]`.

    Args:
        in_keys: images; `["pixels"]` by default.
        out_keys: keys written; `in_keys` by default.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> GrayScale()(TensorDict({"pixels": torch.ones(3, 4, 4)}))["pixels"].shape
        torch.Size([1, 4, 4])
    """

    batchable = True

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        super().__init__(in_keys=in_keys, out_keys=out_keys)

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return rgb_to_grayscale(tensor)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return map_bounds(spec, rgb_to_grayscale)
