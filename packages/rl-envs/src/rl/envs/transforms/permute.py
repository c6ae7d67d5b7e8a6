"""PermuteTransform: another order of dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import SpecError
from rl.envs.transforms.shape import ShapeTransform

__all__ = ["PermuteTransform"]


class PermuteTransform(ShapeTransform):
    """Permute the last dimensions on the way out, and permute inputs back on the way in.

    Args:
        dims: the new order of the last `len(dims)` dimensions, all negative.
        in_keys: observations or rewards.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs.
        out_keys_inv: the same inputs as the outside names them.

    Raises:
        SpecError: `dims` is not a permutation of the last dimensions.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> move = PermuteTransform((-1, -3, -2), in_keys=["x"])
        >>> move(TensorDict({"x": torch.ones(2, 3, 4)}))["x"].shape
        torch.Size([4, 2, 3])
    """

    def __init__(
        self,
        dims: Sequence[int],
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
    ) -> None:
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(-len(self.dims), 0)):
            raise SpecError(
                f"`dims` is {self.dims}: give every one of the last dimensions once, as negative "
                f"numbers ({tuple(range(-len(self.dims), 0))} in another order)."
            )
        super().__init__(
            in_keys=in_keys, out_keys=out_keys, in_keys_inv=in_keys_inv, out_keys_inv=out_keys_inv
        )
        count = len(self.dims)
        self._inverse = tuple(self.dims.index(dim) - count for dim in range(-count, 0))

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return _permute(tensor, self.dims)

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        return _permute(tensor, self._inverse)


def _permute(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    return tensor.permute(*range(tensor.ndim - len(dims)), *dims)
