"""DeviceCastTransform: another device outside of the env than inside."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.specs import Composite, TensorSpec
from rl.core.transform import Transform

__all__ = ["DeviceCastTransform"]


class DeviceCastTransform(Transform):
    """Move data to `device` on the way out and to `orig_device` on the way in.

    Without keys everything is moved, and `device` is the device of the env.

    Args:
        device: device outside.
        orig_device: device inside; that of the env by default.
        in_keys: entries to move on the way out; all by default.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs to move on the way in.
        out_keys_inv: the same inputs as the outside names them.

    Example:
        >>> from tensordict import TensorDict
        >>> DeviceCastTransform("cpu")(TensorDict({"x": torch.ones(2)})).device
        device(type='cpu')
    """

    batchable = True

    def __init__(
        self,
        device: torch.device | str | int,
        orig_device: torch.device | str | int | None = None,
        *,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
    ) -> None:
        super().__init__(
            in_keys=in_keys, out_keys=out_keys, in_keys_inv=in_keys_inv, out_keys_inv=out_keys_inv
        )
        self.device = torch.device(device)
        self._given_orig = None if orig_device is None else torch.device(orig_device)
        self.orig_device = self._given_orig
        self._everything = not self.in_keys and not self.in_keys_inv

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=False)

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        return tensor if self.orig_device is None else tensor.to(self.orig_device)

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        if self._everything:
            return next_tensordict.to(self.device)
        return super()._call(next_tensordict)

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        if not self._everything:
            return super()._inv_call(tensordict)
        if self.orig_device is None:
            return tensordict.clear_device_()
        return tensordict.to(self.orig_device)

    # ---------------------------------------------------------------- specs

    def transform_env_device(self, device: torch.device | None) -> torch.device | None:
        """Return the outer device, if everything is moved."""
        self.orig_device = device if self._given_orig is None else self._given_orig
        return self.device if self._everything else None

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return spec.to(self.device)

    def _inv_transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return spec.to(self.device)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs on the outer device."""
        if self._everything:
            return output_spec.to(self.device)
        return super().transform_output_spec(output_spec.clear_device_())

    def transform_input_spec(self, input_spec: Composite) -> Composite:
        """Return the specs on the outer device."""
        if self._everything:
            return input_spec.to(self.device)
        return super().transform_input_spec(input_spec.clear_device_())
