"""Deterministic squashing into a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, dispatch
from torch import Tensor

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import SpecError
from rl.core.modules.actors.output_spec import OutputSpec, as_output_spec, missing_key
from rl.core.specs.base import TensorSpec
from rl.core.specs.composite import Composite

__all__ = ["TanhModule"]

Bound = float | Tensor


class TanhModule(OutputSpec, TensorDictModuleBase):
    """Write `mid + half * tanh(x)`: any real becomes a value between two bounds.

    Args:
        in_keys: entries to squash.
        out_keys: where the results go; default `in_keys`.
        spec: a bounded spec (or `Composite` of them) that gives the bounds.
        low: lower bounds, a number or tensor for all keys, or a dict by key; default -1, or the
            spec's.
        high: upper bounds; default 1, or the spec's.
        clamp: keep results off the bounds by the dtype's resolution.

    Reads:
        in_keys: `[*B, A]`.
    Writes:
        out_keys: `[*B, A]`.

    Raises:
        SpecError: the spec has no bounds, or `low` is not below `high`.

    Example:
        >>> from tensordict import TensorDict
        >>> squash = TanhModule(in_keys=["action"], low=-2.0, high=2.0)
        >>> squash(TensorDict(action=torch.tensor([0.0, 99.0])))["action"]
        tensor([0., 2.])
    """

    def __init__(
        self,
        in_keys: Sequence[NestedKey],
        out_keys: Sequence[NestedKey] | None = None,
        *,
        spec: TensorSpec | None = None,
        low: Bound | Mapping[NestedKey, Bound] | None = None,
        high: Bound | Mapping[NestedKey, Bound] | None = None,
        clamp: bool = False,
    ) -> None:
        super().__init__()
        self.in_keys = as_key_list(in_keys)
        self.out_keys = list(self.in_keys) if out_keys is None else as_key_list(out_keys)
        self.clamp = clamp
        self._init_spec(as_output_spec(spec, self.out_keys), safe=False)
        for index, key in enumerate(self.out_keys):
            lower, upper = _bounds(key, self._spec, low, high)
            self.register_buffer(f"mid_{index}", (lower + upper) / 2)
            self.register_buffer(f"half_{index}", (upper - lower) / 2)

    @dispatch(auto_batch_size=False)
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the squashed entries."""
        for index, (in_key, out_key) in enumerate(zip(self.in_keys, self.out_keys, strict=True)):
            try:
                value = tensordict[in_key]
            except KeyError as error:
                raise missing_key(self, self.in_keys, tensordict) from error
            y = torch.tanh(value)
            if self.clamp:
                edge = 1.0 - torch.finfo(y.dtype).resolution
                y = y.clamp(-edge, edge)
            half, mid = getattr(self, f"half_{index}"), getattr(self, f"mid_{index}")
            tensordict.set(out_key, y * half + mid)
        return tensordict


def _bounds(key: NestedKey, spec: Composite, low: object, high: object) -> tuple[Tensor, Tensor]:
    leaf = spec.get(key, None)
    if leaf is not None and not hasattr(leaf.space, "low"):
        raise SpecError(
            f"The spec of `{key}` is `{type(leaf).__name__}`, which has no bounds: pass a "
            "`Bounded` spec, or `low=` and `high=`."
        )
    low = low.get(key) if isinstance(low, Mapping) else low
    high = high.get(key) if isinstance(high, Mapping) else high
    if leaf is not None:
        low = leaf.space.low if low is None else low
        high = leaf.space.high if high is None else high
    lower = torch.as_tensor(-1.0 if low is None else low, dtype=torch.get_default_dtype())
    upper = torch.as_tensor(1.0 if high is None else high, dtype=torch.get_default_dtype())
    if not (lower < upper).all() or not (upper - lower).isfinite().all():
        raise SpecError(
            f"`{key}` has bounds low={lower.tolist()} and high={upper.tolist()}, expected finite "
            "low < high: pass `low=` and `high=`, or a `Bounded` spec."
        )
    return lower, upper
