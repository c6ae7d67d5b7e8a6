"""DTypeCastTransform and DoubleToFloat: other dtypes outside of the env than inside."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.specs import Composite, TensorSpec
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import leaf_keys

__all__ = ["DTypeCastTransform", "DoubleToFloat"]


class DTypeCastTransform(Transform):
    """Cast entries from `dtype_in` to `dtype_out` on the way out, and back on the way in.

    Without any keys, every observation, reward, action and state of dtype `dtype_in` is cast.

    Args:
        dtype_in: dtype inside.
        dtype_out: dtype outside.
        in_keys: entries to cast on the way out.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs to cast on the way in.
        out_keys_inv: the same inputs as the outside names them.

    Example:
        >>> from tensordict import TensorDict
        >>> cast = DTypeCastTransform(torch.float64, torch.float32, in_keys=["x"])
        >>> cast(TensorDict({"x": torch.ones(2, dtype=torch.float64)}))["x"].dtype
        torch.float32
    """

    batchable = True

    def __init__(
        self,
        dtype_in: torch.dtype,
        dtype_out: torch.dtype,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
    ) -> None:
        super().__init__(
            in_keys=in_keys, out_keys=out_keys, in_keys_inv=in_keys_inv, out_keys_inv=out_keys_inv
        )
        self._every_key = in_keys is None and in_keys_inv is None
        self._inputs_known = False
        self.dtype_in = dtype_in
        self.dtype_out = dtype_out
        self._plan: list[tuple[NestedKey, NestedKey]] | None = None

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.dtype_out)

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.dtype_in)

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        if self._plan is None:
            return self._call(next_tensordict)
        dtype = self.dtype_out
        for in_key, out_key in self._plan:
            next_tensordict.set(out_key, next_tensordict[in_key].to(dtype))
        return next_tensordict

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Cast the entries of a TensorDict; without keys, every one of dtype `dtype_in`.

        Raises:
            MissingKeyError: an input key is absent.
        """
        if not self._every_key:
            return super().forward(tensordict)
        for key, value in tensordict.items(True, True):
            if isinstance(value, Tensor) and value.dtype == self.dtype_in:
                tensordict.set(key, value.to(self.dtype_out))
        return tensordict

    @property
    def has_inverse(self) -> bool:
        """Whether an input is cast."""
        if self._every_key and not self._inputs_known and self.parent is not None:
            self._resolve_inputs(self.parent.input_spec)  # asked before the specs are derived
        return bool(self.in_keys_inv)

    # ---------------------------------------------------------------- specs

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return spec.to(self.dtype_out)

    def _inv_transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return spec.to(self.dtype_out)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs of what the env gives, with the dtypes cast."""
        groups = ("observation", "reward")
        if self._every_key:
            self.in_keys = self._matching(output_spec, groups)
            self.out_keys = list(self.in_keys)
        known = {
            key
            for group in (*groups, "done")
            for key in leaf_keys(output_spec[f"full_{group}_spec"])
        }
        self._plan = [
            pair for pair in zip(self.in_keys, self.out_keys, strict=True) if pair[0] in known
        ]
        return super().transform_output_spec(output_spec)

    def transform_input_spec(self, input_spec: Composite) -> Composite:
        """Return the specs of what the env takes, with the dtypes cast."""
        if self._every_key:
            self._resolve_inputs(input_spec)
        return super().transform_input_spec(input_spec)

    def _resolve_inputs(self, input_spec: Composite) -> None:
        self.in_keys_inv = self._matching(input_spec, ("action", "state"))
        self.out_keys_inv = list(self.in_keys_inv)
        self._inputs_known = True

    def _matching(self, spec: Composite, groups: tuple[str, ...]) -> list[NestedKey]:
        found = []
        for group in groups:
            part = spec[f"full_{group}_spec"]
            found += [key for key in leaf_keys(part) if part[key].dtype == self.dtype_in]
        return found


class DoubleToFloat(DTypeCastTransform):
    """Give float32 where the env gives float64, and take float32 where the env takes float64.

    Without any keys, every float64 observation, reward, action and state is cast.

    Args:
        in_keys: entries to cast on the way out.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs to cast on the way in.
        out_keys_inv: the same inputs as the outside names them.

    Example:
        >>> from tensordict import TensorDict
        >>> DoubleToFloat()(TensorDict({"x": torch.ones(2, dtype=torch.float64)}))["x"].dtype
        torch.float32
    """

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
    ) -> None:
        super().__init__(torch.float64, torch.float32, in_keys, out_keys, in_keys_inv, out_keys_inv)
