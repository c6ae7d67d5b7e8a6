"""UnsqueezeTransform and SqueezeTransform: a dimension of size 1 more or less."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import SpecError
from rl.core.specs import TensorSpec
from rl.envs.transforms.leaf_spec import rearrange
from rl.envs.transforms.shape import ShapeTransform, check_negative

__all__ = ["SqueezeTransform", "UnsqueezeTransform"]


class UnsqueezeTransform(ShapeTransform):
    """Add a dimension of size 1 on the way out, and remove it from inputs on the way in.

    Args:
        dim: where, negative unless `allow_positive_dim`.
        allow_positive_dim: count a `dim` of 0 or more from the first dimension behind the batch.
        in_keys: observations or rewards.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs.
        out_keys_inv: the same inputs as the outside names them.

    Raises:
        SpecError: `dim` is missing, or not negative.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> UnsqueezeTransform(-1, in_keys=["x"])(TensorDict({"x": torch.ones(3)}))["x"].shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        dim: int | None = None,
        *,
        allow_positive_dim: bool = False,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
    ) -> None:
        self.dim = _given(dim, "UnsqueezeTransform", allow_positive_dim)
        super().__init__(
            in_keys=in_keys, out_keys=out_keys, in_keys_inv=in_keys_inv, out_keys_inv=out_keys_inv
        )
        self.allow_positive_dim = allow_positive_dim

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor.unsqueeze(self._dim(self.dim))

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor.squeeze(self._dim(self.dim))


class SqueezeTransform(ShapeTransform):
    """Remove a dimension of size 1 on the way out, and add it to inputs on the way in.

    Args:
        dim: which, negative unless `allow_positive_dim`.
        allow_positive_dim: count a `dim` of 0 or more from the first dimension behind the batch.
        in_keys: observations or rewards.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs.
        out_keys_inv: the same inputs as the outside names them.

    Raises:
        SpecError: `dim` is missing, or not negative.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> SqueezeTransform(-1, in_keys=["x"])(TensorDict({"x": torch.ones(3, 1)}))["x"].shape
        torch.Size([3])
    """

    def __init__(
        self,
        dim: int | None = None,
        *,
        allow_positive_dim: bool = False,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
    ) -> None:
        self.dim = _given(dim, "SqueezeTransform", allow_positive_dim)
        super().__init__(
            in_keys=in_keys, out_keys=out_keys, in_keys_inv=in_keys_inv, out_keys_inv=out_keys_inv
        )
        self.allow_positive_dim = allow_positive_dim

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor.squeeze(self._dim(self.dim))

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor.unsqueeze(self._dim(self.dim))

    def _inv_transform_spec(self, spec: TensorSpec) -> TensorSpec:
        if spec.shape[self._dim(self.dim)] != 1:
            raise SpecError(
                f"Dimension {self.dim} of the input has size {spec.shape[self._dim(self.dim)]}, "
                "expected 1: `SqueezeTransform` cannot remove it."
            )
        return rearrange(spec, self._apply_transform)


def _given(dim: int | None, name: str, allow_positive_dim: bool) -> int:
    if dim is None:
        raise SpecError(f"`{name}` needs `dim`: `{name}(dim=-1, in_keys=[...])`.")
    check_negative("dim", dim, allow_positive_dim)
    return dim
