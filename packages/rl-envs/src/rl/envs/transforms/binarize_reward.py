"""BinarizeReward: 1 for a positive reward, 0 for any other."""

from __future__ import annotations

from torch import Tensor

from rl.core.specs import Binary, TensorSpec
from rl.envs.transforms.reward import RewardTransform

__all__ = ["BinarizeReward"]


class BinarizeReward(RewardTransform):
    """Replace rewards by whether they are positive, 0 or 1 in the same dtype.

    Reads:
        reward: `[*B, 1]`.
    Writes:
        reward: `[*B, 1]`.

    Args:
        in_keys: rewards; every reward of the env by default.
        out_keys: keys written; `in_keys` by default.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> BinarizeReward()(TensorDict({"reward": torch.tensor([0.2])}))["reward"]
        tensor([1.])
    """

    batchable = True

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return (tensor > 0).to(tensor.dtype)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return Binary(shape=spec.shape, dtype=spec.dtype, device=spec.device)
