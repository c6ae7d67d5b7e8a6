"""Stack: several entries of one shape along a new dimension."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import SpecError
from rl.core.specs import Composite
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import join_specs, leaf_keys

__all__ = ["Stack"]


class Stack(Transform):
    """Stack entries of one shape along a new dimension; on the way in, take one apart.

    Reads:
        each of `in_keys`: `[*B, *F]`.
    Writes:
        out_key: `[*B, ..., len(in_keys), ...]`.

    Args:
        in_keys: entries to stack, in this order.
        out_key: key of the result.
        in_key_inv: key of a stacked input, as the outside names it.
        out_keys_inv: keys of its parts, as the inner env names them.
        dim: the new dimension, negative unless `allow_positive_dim`.
        allow_positive_dim: count a `dim` of 0 or more from the first dimension behind the batch.
        del_keys: remove the entries afterwards.

    Raises:
        SpecError: `dim` is not negative and `allow_positive_dim` is not set.
        MissingKeyError: an entry is not in the env.

    Example:
        >>> from tensordict import TensorDict
        >>> stack = Stack(["a", "b"], out_key="ab", dim=-1)
        >>> stack(TensorDict({"a": torch.zeros(1), "b": torch.ones(1)}))["ab"]
        tensor([[0., 1.]])
    """

    batchable = True

    def __init__(
        self,
        in_keys: Sequence[NestedKey],
        out_key: NestedKey,
        in_key_inv: NestedKey | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
        dim: int = -1,
        allow_positive_dim: bool = False,
        *,
        del_keys: bool = True,
    ) -> None:
        if dim >= 0 and not allow_positive_dim:
            raise SpecError(
                f"`dim` is {dim}: count it from the end (a negative number), or pass "
                "`allow_positive_dim=True` to count behind the batch dimensions."
            )
        if (in_key_inv is None) != (out_keys_inv is None):
            raise SpecError("Give both `in_key_inv` and `out_keys_inv`, or neither.")
        super().__init__(in_keys=in_keys, out_keys=as_key_list([out_key]))
        self.dim = dim
        self.del_keys = del_keys
        self.stacked_input = None if in_key_inv is None else as_key_list([in_key_inv])[0]
        self.input_parts = as_key_list(out_keys_inv)

    def _dim(self, batch_ndim: int) -> int:
        return self.dim if self.dim < 0 else self.dim + batch_ndim

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        values = [next_tensordict.get(key, None) for key in self.in_keys]
        if any(value is None for value in values):
            return next_tensordict  # such as the rewards at reset
        out_key = self.out_keys[0]
        next_tensordict.set(out_key, torch.stack(values, self._dim(next_tensordict.ndim)))
        if self.del_keys:
            for key in self.in_keys:
                if key != out_key:
                    del next_tensordict[key]
        return next_tensordict

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Stack the entries of a TensorDict.

        Raises:
            MissingKeyError: an entry is absent.
        """
        return super().forward(tensordict)

    @property
    def has_inverse(self) -> bool:
        """Whether an input is taken apart."""
        return self.stacked_input is not None

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        stacked = None if self.stacked_input is None else tensordict.get(self.stacked_input, None)
        if stacked is not None:
            parts = stacked.unbind(self._dim(tensordict.ndim))
            for key, part in zip(self.input_parts, parts, strict=True):
                tensordict.set(key, part)
            if self.stacked_input not in self.input_parts:
                del tensordict[self.stacked_input]
        return tensordict

    # ---------------------------------------------------------------- specs

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs with the entries stacked, in the group where they are."""
        groups = {
            group: leaf_keys(output_spec[f"full_{group}_spec"])
            for group in ("observation", "reward", "done")
        }
        for key in self.in_keys:
            if not any(key in known for known in groups.values()):
                raise self._missing(key, [key for known in groups.values() for key in known])
        if not any(set(self.in_keys) <= set(known) for known in groups.values()):
            raise SpecError(
                f"`Stack` joins entries of one kind, and {self.in_keys} are of several: stack "
                "observations and rewards apart."
            )
        return super().transform_output_spec(output_spec)

    def _stack_spec(self, spec: Composite) -> Composite:
        if not self.in_keys or not set(self.in_keys) <= set(leaf_keys(spec)):
            return spec
        return _joined(spec, self.in_keys, self.out_keys[0], self._dim(spec.ndim), self.del_keys)

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """Stack the entries, if they are observations."""
        return self._stack_spec(observation_spec)

    def transform_reward_spec(self, reward_spec: Composite) -> Composite:
        """Stack the entries, if they are rewards."""
        return self._stack_spec(reward_spec)

    def transform_done_spec(self, done_spec: Composite) -> Composite:
        """Stack the entries, if they are done flags."""
        return self._stack_spec(done_spec)

    def _stack_input_spec(self, spec: Composite) -> Composite:
        if self.stacked_input is None or not set(self.input_parts) <= set(leaf_keys(spec)):
            return spec
        return _joined(spec, self.input_parts, self.stacked_input, self._dim(spec.ndim), True)

    def transform_action_spec(self, action_spec: Composite) -> Composite:
        """Return the spec of the stacked action."""
        return self._stack_input_spec(action_spec)

    def transform_state_spec(self, state_spec: Composite) -> Composite:
        """Return the spec of the stacked state."""
        return self._stack_input_spec(state_spec)


def _joined(
    spec: Composite, keys: list[NestedKey], out_key: NestedKey, dim: int, drop: bool
) -> Composite:
    leaf = join_specs([spec[key] for key in keys], lambda values: torch.stack(values, dim))
    if drop:
        for key in keys:
            del spec[key]
    spec[out_key] = leaf
    return spec
