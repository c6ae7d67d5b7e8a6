"""UnaryTransform: any function of one entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensordict import TensorDictBase, is_tensor_collection
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import SpecError
from rl.core.specs import NonTensor, TensorSpec, Unbounded
from rl.core.transform import Transform

__all__ = ["UnaryTransform"]


class UnaryTransform(Transform):
    """Apply a function to entries on the way out, and another to inputs on the way in.

    The spec of the result is found by applying the function to a zero of the input's spec.

    Args:
        in_keys: entries read.
        out_keys: keys written.
        in_keys_inv: inputs as the inner env names them.
        out_keys_inv: the same inputs as the outside names them.
        fn: function of the value on the way out.
        inv_fn: function of the value on the way in.
        use_raw_nontensor: hand the bare object of a non-tensor entry to the function.

    Raises:
        SpecError: there is no function for the keys that are given.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> more = UnaryTransform(["x"], ["y"], fn=lambda x: x + 1)
        >>> more(TensorDict({"x": torch.ones(1)}))["y"]
        tensor([2.])
    """

    batchable = False

    def __init__(
        self,
        in_keys: Sequence[NestedKey],
        out_keys: Sequence[NestedKey],
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
        *,
        fn: Callable[[Any], Any] | None = None,
        inv_fn: Callable[[Any], Any] | None = None,
        use_raw_nontensor: bool = False,
    ) -> None:
        super().__init__(
            in_keys=in_keys, out_keys=out_keys, in_keys_inv=in_keys_inv, out_keys_inv=out_keys_inv
        )
        if self.in_keys and fn is None:
            raise SpecError("`UnaryTransform` has `in_keys` and no `fn`: give the function.")
        if self.in_keys_inv and inv_fn is None:
            raise SpecError(
                "`UnaryTransform` has `in_keys_inv` and no `inv_fn`: give the function."
            )
        self.fn = fn
        self.inv_fn = inv_fn
        self.use_raw_nontensor = use_raw_nontensor

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        return self._map(next_tensordict, self.in_keys, self.out_keys, self.fn)

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self._map(tensordict, self.out_keys_inv, self.in_keys_inv, self.inv_fn)

    @property
    def has_inverse(self) -> bool:
        """Whether an input is mapped."""
        return bool(self.in_keys_inv)

    def _map(
        self,
        tensordict: TensorDictBase,
        in_keys: list[NestedKey],
        out_keys: list[NestedKey],
        function: Callable[[Any], Any] | None,
    ) -> TensorDictBase:
        for in_key, out_key in zip(in_keys, out_keys, strict=True):
            value = tensordict.get(in_key, None)
            if value is None:
                continue
            if self.use_raw_nontensor and not isinstance(value, Tensor):
                value = getattr(value, "data", value)
            result = function(value)
            if isinstance(result, Tensor) or is_tensor_collection(result):
                tensordict.set(out_key, result)
            else:
                tensordict.set_non_tensor(out_key, result)
        return tensordict

    def _check_in_keys(self, output_spec: Any) -> None:  # noqa: ANN401
        known = [
            key
            for group in ("observation", "reward", "done")
            for key in output_spec[f"full_{group}_spec"].keys(True)
        ]
        for key in self.in_keys:
            if key not in known:
                raise self._missing(key, known)

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        return self._probe(spec, self.fn)

    def _inv_transform_spec(self, spec: TensorSpec) -> TensorSpec:
        # the outer value is whatever `inv_fn` maps into the inner spec: nothing more is known of it
        return spec

    def _probe(self, spec: TensorSpec, function: Callable[[Any], Any]) -> TensorSpec:
        value = spec.zero()
        if self.use_raw_nontensor and not isinstance(value, Tensor):
            value = getattr(value, "data", value)
        result = function(value)
        if isinstance(result, Tensor):
            return Unbounded(shape=result.shape, dtype=result.dtype, device=spec.device)
        return NonTensor(shape=spec.shape, device=spec.device)
