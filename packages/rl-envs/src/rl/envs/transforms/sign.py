"""SignTransform: the sign of entries."""

from __future__ import annotations

import torch
from torch import Tensor

from rl.core.specs import Bounded, TensorSpec
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import clamp_bounds, map_bounds

__all__ = ["SignTransform"]


class SignTransform(Transform):
    """Replace entries by their sign: -1, 0 or 1, in the same dtype. Inputs likewise on the way in.

    Args:
        in_keys: observations or rewards.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs.
        out_keys_inv: the same inputs as the outside names them.

    Example:
        >>> from tensordict import TensorDict
        >>> SignTransform(["x"])(TensorDict({"x": torch.tensor([-3.0])}))["x"]
        tensor([-1.])
    """

    batchable = True

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return torch.sign(tensor)

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        return torch.sign(tensor)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        if isinstance(spec, Bounded):
            return map_bounds(spec, torch.sign)
        return clamp_bounds(spec, -1, 1)
