"""RewardScaling: an affine map of the reward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.specs import TensorSpec
from rl.envs.transforms.leaf_spec import map_bounds
from rl.envs.transforms.reward import RewardTransform

__all__ = ["RewardScaling"]


class RewardScaling(RewardTransform):
    """Scale rewards: `y = scale * r + loc`, or `y = (r - loc) / scale` with `standard_normal`.

    Reads:
        reward: `[*B, 1]`.
    Writes:
        reward: `[*B, 1]`.

    Args:
        loc: shift, a number or a tensor that broadcasts over the reward.
        scale: factor, likewise.
        in_keys: rewards to scale; every reward of the env by default.
        out_keys: keys written; `in_keys` by default.
        standard_normal: which of the two formulas holds.

    Example:
        >>> from tensordict import TensorDict
        >>> RewardScaling(loc=1.0, scale=2.0)(TensorDict({"reward": torch.tensor([3.0])}))["reward"]
        tensor([7.])
    """

    batchable = True

    def __init__(
        self,
        loc: float | Tensor,
        scale: float | Tensor,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        standard_normal: bool = False,
    ) -> None:
        super().__init__(in_keys=in_keys, out_keys=out_keys)
        self.standard_normal = bool(standard_normal)
        self.register_buffer("loc", _float(loc))
        self.register_buffer("scale", _float(scale))

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        if self.standard_normal:
            return (tensor - self.loc) / self.scale
        return tensor * self.scale + self.loc

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return map_bounds(spec, self._apply_transform)


def _float(value: float | Tensor) -> Tensor:
    tensor = torch.as_tensor(value).detach().clone()
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())
