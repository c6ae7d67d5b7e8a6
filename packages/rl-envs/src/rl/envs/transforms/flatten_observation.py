"""FlattenObservation: several dimensions as one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.envs.transforms.shape import ShapeTransform, check_negative

__all__ = ["FlattenObservation"]


class FlattenObservation(ShapeTransform):
    """Merge the dimensions `first_dim` to `last_dim` of observations.

    Args:
        first_dim: the first of them, negative unless `allow_positive_dim`.
        last_dim: the last of them.
        in_keys: observations; `["pixels"]` by default.
        out_keys: keys written; `in_keys` by default.
        allow_positive_dim: count a dimension of 0 or more from the first one behind the batch.

    Raises:
        SpecError: a dimension is not negative.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> FlattenObservation(-3, -1)(TensorDict({"pixels": torch.ones(2, 3, 4)}))["pixels"].shape
        torch.Size([24])
    """

    def __init__(
        self,
        first_dim: int,
        last_dim: int,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        allow_positive_dim: bool = False,
    ) -> None:
        check_negative("first_dim", first_dim, allow_positive_dim)
        check_negative("last_dim", last_dim, allow_positive_dim)
        super().__init__(in_keys=["pixels"] if in_keys is None else in_keys, out_keys=out_keys)
        self.first_dim = first_dim
        self.last_dim = last_dim

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor.flatten(self._dim(self.first_dim), self._dim(self.last_dim))
