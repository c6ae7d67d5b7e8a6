"""ToTensorImage: from an image as simulators give it to one as networks take it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import ShapeError
from rl.core.specs import Bounded, TensorSpec
from rl.envs.transforms.leaf_spec import unbounded_like
from rl.envs.transforms.pixels import PixelTransform

__all__ = ["ToTensorImage"]

CHANNELS = (1, 3, 4)


class ToTensorImage(PixelTransform):
    """Move the channels of an image to the front and turn integers 0..255 into floats 0..1.

    Reads:
        pixels: `[*B, H, W, C]`, uint8 or floating-point.
    Writes:
        pixels: `[*B, C, H, W]` floating-point.

    Args:
        from_int: divide by 255; by default where the image holds integers.
        unsqueeze: add a dimension of size 1 before the channels.
        dtype: dtype of the result; torch's default dtype by default.
        in_keys: images; `["pixels"]` by default.
        out_keys: keys written; `in_keys` by default.
        shape_tolerant: leave images alone whose channels are in front already.

    Raises:
        ShapeError: an image has fewer than three dimensions.

    Example:
        >>> from tensordict import TensorDict
        >>> td = TensorDict({"pixels": torch.full((4, 6, 3), 255, dtype=torch.uint8)})
        >>> image = ToTensorImage()(td)["pixels"]
        >>> image.shape, image.max()
        (torch.Size([3, 4, 6]), tensor(1.))
    """

    batchable = True

    def __init__(
        self,
        from_int: bool | None = None,
        unsqueeze: bool = False,
        dtype: torch.dtype | None = None,
        *,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        shape_tolerant: bool = False,
    ) -> None:
        super().__init__(in_keys=in_keys, out_keys=out_keys)
        self.from_int = from_int
        self.unsqueeze = unsqueeze
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.shape_tolerant = shape_tolerant

    def _moves(self, shape: torch.Size) -> bool:
        if len(shape) < 3:
            raise ShapeError(
                f"The image has shape {list(shape)}, expected [*B, H, W, C]: `ToTensorImage` takes "
                "images; name them in `in_keys`."
            )
        return not (self.shape_tolerant and shape[-3] in CHANNELS and shape[-1] not in CHANNELS)

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        if self._moves(tensor.shape):
            tensor = tensor.movedim(-1, -3)
        from_int = not tensor.is_floating_point() if self.from_int is None else self.from_int
        # the copy in channels-first order happens once, on the narrow dtype
        tensor = tensor.contiguous().to(self.dtype)
        if from_int:
            tensor = tensor.div(255)
        return tensor.unsqueeze(-4) if self.unsqueeze else tensor

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        probe = self._apply_transform(spec.zero())
        if isinstance(spec, Bounded):
            low, high = (
                self._apply_transform(spec.space.low),
                self._apply_transform(spec.space.high),
            )
            return Bounded(
                low=low, high=high, shape=probe.shape, dtype=self.dtype, device=spec.device
            )
        if spec.dtype == torch.uint8 and self.from_int is not False:
            return Bounded(
                low=0.0, high=1.0, shape=probe.shape, dtype=self.dtype, device=spec.device
            )
        return unbounded_like(spec, shape=probe.shape, dtype=self.dtype)
