"""ShapeTransform: the base of transforms that rearrange the elements of each entry."""

from __future__ import annotations

from tensordict import TensorDictBase

from rl.core.errors import SpecError
from rl.core.specs import Composite, TensorSpec
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import rearrange

__all__ = ["ShapeTransform", "check_negative"]


class ShapeTransform(Transform):
    """A map of entries that only rearranges their elements.

    A dimension of 0 or more is counted from the first one behind the batch dimensions of the env,
    or of the TensorDict outside of an env.
    """

    batchable = True
    _batch_ndim = 0

    def _dim(self, dim: int) -> int:
        return dim if dim < 0 else dim + self._batch_ndim

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return rearrange(spec, self._apply_transform)

    def _inv_transform_spec(self, spec: TensorSpec) -> TensorSpec:
        # the inner value is the inverse of the outer one, so the outer spec is the forward image
        return rearrange(spec, self._apply_transform)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs of the rearranged entries."""
        self._batch_ndim = output_spec.ndim
        return super().transform_output_spec(output_spec)

    def transform_input_spec(self, input_spec: Composite) -> Composite:
        """Return the specs of the inputs as the outside gives them."""
        self._batch_ndim = input_spec.ndim
        return super().transform_input_spec(input_spec)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Rearrange the entries of a TensorDict.

        Raises:
            MissingKeyError: an input key is absent.
        """
        if self.container is None or self.parent is None:
            self._batch_ndim = tensordict.ndim
        return super().forward(tensordict)


def check_negative(name: str, dim: int, allow_positive_dim: bool) -> None:
    """Raise unless `dim` is negative or positive ones are allowed."""
    if dim >= 0 and not allow_positive_dim:
        raise SpecError(
            f"`{name}` is {dim}: count it from the end (a negative number), so that it does not "
            "depend on the batch size of the env, or pass `allow_positive_dim=True`."
        )
