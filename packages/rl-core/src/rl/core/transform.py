"""Transforms: a function on specs and one on data that agree, for envs, buffers and models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Protocol

from tensordict import TensorDictBase
from torch import Tensor, nn

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import MissingKeyError, RLError, nearest
from rl.core.specs import Composite, TensorSpec

__all__ = ["CallableTransform", "Compose", "Transform", "TransformContainer", "as_transform"]

OUTPUT_GROUPS = ("observation", "reward", "done")
INPUT_GROUPS = ("action", "state")


class TransformContainer(Protocol):
    """What holds a transform: an env, a buffer, or a `Compose`."""

    def parent_of(self, transform: Transform) -> Any:  # noqa: ANN401 (an env: rl-core knows none)
        """Return the env as `transform` sees it, or None outside of an env."""


class Transform(nn.Module):
    """A pair of functions, spec → spec and data → data, with the phases in which it acts.

    A subclass that maps tensors one by one writes `_apply_transform` and `_transform_spec` (and
    their inverses); one that needs several keys or the state of the episode overrides `_call`,
    `_step` or `_reset` and the spec function of the group that it changes.

    Phases:
        reset: `_reset(tensordict, tensordict_reset)`; by default `_call(tensordict_reset)`.
        step: `_step(tensordict, next_tensordict)`; by default `_call(next_tensordict)`.
        sample, or use as a module: `forward(tensordict)`; by default `_call` after a check of the
            keys.
        write, or the way into an env: `inv(tensordict)`; by default `_inv_apply_transform` per key.

    On a partial reset `tensordict_reset` is full-sized; the outermost env keeps the old rows
    wherever the mask `"_reset"` of `tensordict` is false.

    Args:
        in_keys: keys read on the way out.
        out_keys: keys written on the way out; `in_keys` by default.
        in_keys_inv: keys as the inner env (or the storage) names them.
        out_keys_inv: the same entries as the outside names them; `in_keys_inv` by default.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> class Double(Transform):
        ...     def _apply_transform(self, tensor):
        ...         return tensor * 2
        >>> Double(in_keys=["x"])(TensorDict({"x": torch.ones(3)}))["x"]
        tensor([2., 2., 2.])
    """

    #: T(stack(x_i)) equals stack(T(x_i)) and all state lives in the TensorDict, so that a vector
    #: env may run one transform over all its envs instead of one per env.
    batchable: ClassVar[bool] = False

    def __init__(
        self,
        in_keys: NestedKey | Iterable[NestedKey] | None = None,
        out_keys: NestedKey | Iterable[NestedKey] | None = None,
        in_keys_inv: NestedKey | Iterable[NestedKey] | None = None,
        out_keys_inv: NestedKey | Iterable[NestedKey] | None = None,
    ) -> None:
        super().__init__()
        self.in_keys = as_key_list(in_keys)
        self.out_keys = list(self.in_keys) if out_keys is None else as_key_list(out_keys)
        self.in_keys_inv = as_key_list(in_keys_inv)
        self.out_keys_inv = (
            list(self.in_keys_inv) if out_keys_inv is None else as_key_list(out_keys_inv)
        )
        self.__dict__["_container"] = None

    # ---------------------------------------------------------------- data

    def _apply_transform(self, tensor: Tensor) -> Tensor:
        """Map one tensor on the way out."""
        return tensor

    def _inv_apply_transform(self, tensor: Tensor) -> Tensor:
        """Map one tensor on the way in."""
        return tensor

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        """Apply `_apply_transform` to every input key that is present."""
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            value = next_tensordict.get(in_key, None)
            if value is not None:
                next_tensordict.set(out_key, self._apply_transform(value))
        return next_tensordict

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        """Transform the result of a step; `tensordict` is the root that led to it."""
        return self._call(next_tensordict)

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        """Transform the result of a reset; `tensordict` is what the reset was called with."""
        return self._call(tensordict_reset)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Transform a TensorDict in place, as a buffer does on sampling.

        Raises:
            MissingKeyError: an input key is absent.
        """
        for key in self.in_keys:
            if key not in tensordict:
                raise self._missing(key, tensordict.keys(True, True))
        return self._call(tensordict)

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Apply `_inv_apply_transform` to every inverse key that is present."""
        for in_key, out_key in zip(self.in_keys_inv, self.out_keys_inv, strict=True):
            value = tensordict.get(out_key, None)
            if value is not None:
                tensordict.set(in_key, self._inv_apply_transform(value))
        return tensordict

    def inv(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the TensorDict as the inside sees it; the one given stays as it is."""
        if not self.has_inverse:
            return tensordict
        return self._inv_call(tensordict.copy())

    @property
    def has_inverse(self) -> bool:
        """Whether anything changes on the way in."""
        return bool(self.in_keys_inv) or type(self)._inv_call is not Transform._inv_call

    # ---------------------------------------------------------------- specs

    def _transform_spec(self, spec: TensorSpec) -> TensorSpec:
        """Mirror `_apply_transform` on the spec of one leaf."""
        return spec

    def _inv_transform_spec(self, spec: TensorSpec) -> TensorSpec:
        """Return the spec of what the outside gives, from the inner spec of one input leaf."""
        return spec

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """Return the observation spec after the transform."""
        return self._map_spec(observation_spec, self.in_keys, self.out_keys, self._transform_spec)

    def transform_reward_spec(self, reward_spec: Composite) -> Composite:
        """Return the reward spec after the transform."""
        return self._map_spec(reward_spec, self.in_keys, self.out_keys, self._transform_spec)

    def transform_done_spec(self, done_spec: Composite) -> Composite:
        """Return the done spec after the transform."""
        return self._map_spec(done_spec, self.in_keys, self.out_keys, self._transform_spec)

    def transform_action_spec(self, action_spec: Composite) -> Composite:
        """Return the action spec that the outside sees."""
        return self._map_inverse_spec(action_spec)

    def transform_state_spec(self, state_spec: Composite) -> Composite:
        """Return the state spec that the outside sees."""
        return self._map_inverse_spec(state_spec)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return `{full_observation_spec, full_reward_spec, full_done_spec}` after the transform.

        Raises:
            MissingKeyError: a per-key transform reads a key that the env does not write.
        """
        self._check_in_keys(output_spec)
        return self._map_groups(output_spec, OUTPUT_GROUPS)

    def transform_input_spec(self, input_spec: Composite) -> Composite:
        """Return `{full_action_spec, full_state_spec}` as the outside sees it."""
        return self._map_groups(input_spec, INPUT_GROUPS)

    def transform_env_device(self, device: Any) -> Any:  # noqa: ANN401 (device or None)
        """Return the device of the env after the transform."""
        return device

    def transform_env_batch_size(self, batch_size: Any) -> Any:  # noqa: ANN401 (torch.Size)
        """Return the batch size of the env after the transform."""
        return batch_size

    def _map_groups(self, spec: Composite, groups: tuple[str, ...]) -> Composite:
        result = spec.clone()
        for group in groups:
            name = f"full_{group}_spec"
            result[name] = getattr(self, f"transform_{group}_spec")(result[name])
        return result

    def _map_inverse_spec(self, spec: Composite) -> Composite:
        return self._map_spec(spec, self.in_keys_inv, self.out_keys_inv, self._inv_transform_spec)

    @staticmethod
    def _map_spec(
        spec: Composite,
        in_keys: list[NestedKey],
        out_keys: list[NestedKey],
        function: Callable[[TensorSpec], TensorSpec],
    ) -> Composite:
        found = set(spec.keys(True, True))
        for in_key, out_key in zip(in_keys, out_keys, strict=True):
            if in_key in found:
                spec[out_key] = function(spec[in_key])
        return spec

    def _check_in_keys(self, output_spec: Composite) -> None:
        if type(self)._call is not Transform._call:
            return
        known = {
            key
            for group in OUTPUT_GROUPS
            for key in output_spec[f"full_{group}_spec"].keys(True, True)
        }
        for key in self.in_keys:
            if key not in known:
                raise self._missing(key, known)

    def _missing(self, key: NestedKey, present: Iterable[NestedKey]) -> MissingKeyError:
        names = {str(other): other for other in present}
        return MissingKeyError(
            f"`{type(self).__name__}` reads `{key}`, which is not there; keys present: "
            f"{sorted(names)}. {nearest(str(key), names)} Pass `in_keys=[...]`."
        )

    # ---------------------------------------------------------------- place

    @property
    def container(self) -> TransformContainer | None:
        """The env, buffer or `Compose` that holds the transform."""
        return self._container

    @property
    def parent(self) -> Any:  # noqa: ANN401 (an env: rl-core knows none)
        """The env up to this transform, or None outside of an env."""
        return None if self._container is None else self._container.parent_of(self)

    def set_container(self, container: TransformContainer | None) -> None:
        """Tell the transform what holds it; a transform has one holder at most.

        Raises:
            RLError: the transform already belongs to another env, buffer or `Compose`.
        """
        if container is not None and self._container not in (None, container):
            raise RLError(
                f"`{type(self).__name__}` already belongs to a {type(self._container).__name__}: "
                "add `transform.clone()` instead."
            )
        self.__dict__["_container"] = container

    def reset_parent(self) -> None:
        """Detach the transform from what holds it."""
        self.__dict__["_container"] = None

    def clone(self) -> Transform:
        """Return an independent copy that belongs to nothing."""
        memo = {id(self._container): None}
        return copy.deepcopy(self, memo)

    def close(self) -> None:
        """Release what the transform holds outside of the process's memory."""


class CallableTransform(Transform):
    """A function on TensorDicts as a transform; it leaves the specs as they are.

    Args:
        function: takes and returns a TensorDict.

    Example:
        >>> from tensordict import TensorDict
        >>> CallableTransform(lambda td: td.set("y", td["x"] + 1))(TensorDict({"x": 1}))["y"]
        tensor(2)
    """

    def __init__(self, function: Callable[[TensorDictBase], TensorDictBase]) -> None:
        super().__init__()
        self.function = function

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        return self.function(next_tensordict)


class Compose(Transform):
    """A chain of transforms, from the env outwards.

    Args:
        transforms: transforms, or functions on TensorDicts.

    Example:
        >>> chain = Compose(Transform(in_keys=["a"]), Transform(in_keys=["b"]))
        >>> len(chain), chain[1].in_keys
        (2, ['b'])
    """

    def __init__(self, *transforms: Transform | Callable) -> None:
        super().__init__()
        self.transforms = nn.ModuleList()
        for transform in transforms:
            self.append(transform)

    @property
    def batchable(self) -> bool:  # type: ignore[override]
        """Whether every transform of the chain is."""
        return all(transform.batchable for transform in self.transforms)

    @property
    def has_inverse(self) -> bool:
        """Whether any transform of the chain has one."""
        return any(transform.has_inverse for transform in self.transforms)

    def append(self, transform: Transform | Callable) -> None:
        """Add a transform on the outside."""
        self.insert(len(self), transform)

    def insert(self, index: int, transform: Transform | Callable) -> None:
        """Add a transform before position `index`."""
        transform = as_transform(transform)
        transform.set_container(self)
        self.transforms.insert(index, transform)

    def pop(self, index: int = -1) -> Transform:
        """Remove and return the transform at `index`."""
        transform = self.transforms.pop(index)
        transform.reset_parent()
        return transform

    def parent_of(self, transform: Transform) -> Any:  # noqa: ANN401 (an env: rl-core knows none)
        """Return the env with the transforms of the chain that come before `transform`."""
        env = self.parent
        if env is None:
            return None
        before = []
        for other in self.transforms:
            if other is transform:
                break
            before.append(other.clone())
        return env.with_transform(Compose(*before)) if before else env

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        for transform in self.transforms:
            next_tensordict = transform._call(next_tensordict)
        return next_tensordict

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        for transform in self.transforms:
            next_tensordict = transform._step(tensordict, next_tensordict)
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        for transform in self.transforms:
            tensordict_reset = transform._reset(tensordict, tensordict_reset)
        return tensordict_reset

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Apply each transform in turn, as a buffer does on sampling."""
        for transform in self.transforms:
            tensordict = transform(tensordict)
        return tensordict

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        for transform in reversed(self.transforms):
            if transform.has_inverse:
                tensordict = transform._inv_call(tensordict)
        return tensordict

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the output spec after the whole chain."""
        for transform in self.transforms:
            output_spec = transform.transform_output_spec(output_spec)
        return output_spec

    def transform_input_spec(self, input_spec: Composite) -> Composite:
        """Return the input spec that the outside of the chain sees."""
        for transform in self.transforms:
            input_spec = transform.transform_input_spec(input_spec)
        return input_spec

    def transform_env_device(self, device: Any) -> Any:  # noqa: ANN401 (device or None)
        """Return the device of the env after the whole chain."""
        for transform in self.transforms:
            device = transform.transform_env_device(device)
        return device

    def transform_env_batch_size(self, batch_size: Any) -> Any:  # noqa: ANN401 (torch.Size)
        """Return the batch size of the env after the whole chain."""
        for transform in self.transforms:
            batch_size = transform.transform_env_batch_size(batch_size)
        return batch_size

    def clone(self) -> Compose:
        """Return a chain of independent copies."""
        return Compose(*(transform.clone() for transform in self.transforms))

    def close(self) -> None:
        """Close each transform."""
        for transform in self.transforms:
            transform.close()

    def __len__(self) -> int:
        return len(self.transforms)

    def __iter__(self) -> Iterator[Transform]:
        return iter(self.transforms)

    def __getitem__(self, index: int | slice) -> Transform:
        if isinstance(index, slice):
            return Compose(*(transform.clone() for transform in list(self.transforms)[index]))
        return self.transforms[index]


def as_transform(transform: Transform | Callable) -> Transform:
    """Return `transform`, wrapped if it is a bare function on TensorDicts.

    Raises:
        TypeError: it cannot be called.
    """
    if isinstance(transform, Transform):
        return transform
    if not callable(transform):
        raise TypeError(
            f"A transform is a `Transform` or a function on TensorDicts, got {type(transform)}."
        )
    return CallableTransform(transform)
