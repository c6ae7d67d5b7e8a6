"""ClipTransform: entries kept in an interval."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import SpecError
from rl.core.specs import TensorSpec
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import clamp_bounds

__all__ = ["ClipTransform"]


class ClipTransform(Transform):
    """Clamp entries to `[low, high]` on the way out, and inputs on the way in.

    Args:
        in_keys: observations or rewards.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs.
        out_keys_inv: the same inputs as the outside names them.
        low: lower limit, a number or a tensor; None for no limit.
        high: upper limit, likewise.

    Raises:
        SpecError: there is no limit, or the lower one is above the upper one.

    Example:
        >>> from tensordict import TensorDict
        >>> ClipTransform(in_keys=["x"], high=1.0)(TensorDict({"x": torch.tensor([3.0])}))["x"]
        tensor([1.])
    """

    batchable = True

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
        *,
        low: float | Tensor | None = None,
        high: float | Tensor | None = None,
    ) -> None:
        if low is None and high is None:
            raise SpecError("`ClipTransform` has no limit: give `low`, `high` or both.")
        if low is not None and high is not None and bool((torch.as_tensor(low) > high).any()):
            raise SpecError(f"`low={low}` is above `high={high}`: swap them.")
        super().__init__(
            in_keys=in_keys, out_keys=out_keys, in_keys_inv=in_keys_inv, out_keys_inv=out_keys_inv
        )
        self.register_buffer("low", None if low is None else torch.as_tensor(low))
        self.register_buffer("high", None if high is None else torch.as_tensor(high))

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        low, high = self.low, self.high
        if low is not None and low.dtype != tensor.dtype:
            low = low.to(tensor.dtype)
        if high is not None and high.dtype != tensor.dtype:
            high = high.to(tensor.dtype)
        return torch.clamp(tensor, low, high)

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        return self._apply_transform(tensor)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return clamp_bounds(spec, self.low, self.high)
