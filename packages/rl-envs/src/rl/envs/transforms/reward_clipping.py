"""RewardClipping: rewards kept in an interval."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import SpecError
from rl.core.specs import TensorSpec
from rl.envs.transforms.leaf_spec import clamp_bounds
from rl.envs.transforms.reward import RewardTransform

__all__ = ["RewardClipping"]


class RewardClipping(RewardTransform):
    """Clamp rewards to `[clamp_min, clamp_max]`.

    Reads:
        reward: `[*B, 1]`.
    Writes:
        reward: `[*B, 1]`.

    Args:
        clamp_min: lower limit; None for no limit.
        clamp_max: upper limit; None for no limit.
        in_keys: rewards to clamp; every reward of the env by default.
        out_keys: keys written; `in_keys` by default.

    Raises:
        SpecError: no limit is given, or the lower one is above the upper one.

    Example:
        >>> from tensordict import TensorDict
        >>> RewardClipping(-1, 1)(TensorDict({"reward": torch.tensor([3.0])}))["reward"]
        tensor([1.])
    """

    batchable = True

    def __init__(
        self,
        clamp_min: float | None = None,
        clamp_max: float | None = None,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        if clamp_min is None and clamp_max is None:
            raise SpecError("`RewardClipping` has no limit: give `clamp_min`, `clamp_max` or both.")
        if clamp_min is not None and clamp_max is not None and clamp_min > clamp_max:
            raise SpecError(f"`clamp_min={clamp_min}` is above `clamp_max={clamp_max}`: swap them.")
        super().__init__(in_keys=in_keys, out_keys=out_keys)
        self.clamp_min = clamp_min
        self.clamp_max = clamp_max

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return torch.clamp(tensor, self.clamp_min, self.clamp_max)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return clamp_bounds(spec, self.clamp_min, self.clamp_max)
