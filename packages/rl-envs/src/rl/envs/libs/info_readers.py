"""Info readers: what a gym `info` dict holds becomes entries of the TensorDict."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import NestedKey, TensorDictBase

from rl.core import Composite, RLError, TensorSpec, Unbounded

__all__ = ["BaseInfoDictReader", "default_info_dict_reader", "spec_of_info"]


class BaseInfoDictReader(abc.ABC):
    """Reads an info dict into a TensorDict.

    Example:
        >>> class LivesReader(BaseInfoDictReader):
        ...     @property
        ...     def info_spec(self):
        ...         return Composite(lives=Unbounded(shape=(), dtype=torch.int64))
        ...     def __call__(self, info_dict, tensordict):
        ...         return tensordict.set("lives", torch.as_tensor(info_dict.get("lives", 0)))
    """

    @property
    @abc.abstractmethod
    def info_spec(self) -> Composite | dict[NestedKey, TensorSpec]:
        """The specs of the entries, for one env without batch."""

    @abc.abstractmethod
    def __call__(self, info_dict: Mapping[str, Any], tensordict: TensorDictBase) -> TensorDictBase:
        """Write the entries into `tensordict` and return it; called at every step and reset."""


class default_info_dict_reader(BaseInfoDictReader):  # noqa: N801 (the name that TorchRL users pass)
    """Reads the named keys of the info dict; a missing one is filled with zeros.

    Args:
        keys: the keys to read; None reads those of `spec`.
        spec: a spec per key, as a list in the order of `keys`, a dict or a Composite; float32
            scalars by default.
        ignore_private: skip keys that start with an underscore.

    Raises:
        RLError: when neither `keys` nor `spec` is given, or they differ in length.

    Writes:
        each key: [*B, *shape of its spec].

    Example:
        >>> from tensordict import TensorDict
        >>> reader = default_info_dict_reader(["x_velocity"])
        >>> reader({"x_velocity": 0.5}, TensorDict({}))["x_velocity"]
        tensor(0.5000)
    """

    def __init__(
        self,
        keys: Sequence[str] | None = None,
        spec: Sequence[TensorSpec] | Mapping[str, TensorSpec] | Composite | None = None,
        ignore_private: bool = True,
    ) -> None:
        specs = self._specs(keys, spec)
        self._info_spec = {
            key: value
            for key, value in specs.items()
            if not (ignore_private and isinstance(key, str) and key.startswith("_"))
        }

    @staticmethod
    def _specs(
        keys: Sequence[str] | None,
        spec: Sequence[TensorSpec] | Mapping[str, TensorSpec] | Composite | None,
    ) -> dict[NestedKey, TensorSpec]:
        if isinstance(keys, str):
            keys = [keys]
        if spec is None:
            if keys is None:
                raise RLError(
                    "`default_info_dict_reader` got neither `keys` nor `spec`: name the info keys "
                    "to read, or call `env.auto_register_info_dict()`, which finds them."
                )
            return {key: Unbounded(shape=()) for key in keys}
        if isinstance(spec, Sequence):
            if keys is None or len(keys) != len(spec):
                raise RLError(
                    f"`default_info_dict_reader` got {len(spec)} specs for "
                    f"{0 if keys is None else len(keys)} keys: give one spec per key."
                )
            return dict(zip(keys, spec, strict=True))
        items = spec.items(True, True) if isinstance(spec, Composite) else spec.items()
        return {key: value for key, value in items if keys is None or key in keys}

    @property
    def info_spec(self) -> dict[NestedKey, TensorSpec]:
        """The specs of the entries, for one env without batch."""
        return self._info_spec

    def __call__(self, info_dict: Mapping[str, Any], tensordict: TensorDictBase) -> TensorDictBase:
        """Write the entries into `tensordict` and return it."""
        batch = tensordict.batch_size
        for key, spec in self._info_spec.items():
            tensordict.set(key, self._read(info_dict, key, spec, batch))
        return tensordict

    def _read(
        self, info: Mapping[str, Any], key: NestedKey, spec: TensorSpec, batch: torch.Size
    ) -> torch.Tensor:
        value: Any = info
        for name in (key,) if isinstance(key, str) else key:
            value = value.get(name) if isinstance(value, Mapping) else None
        shape = (*batch, *spec.shape)
        if value is None:
            return torch.zeros(shape, dtype=spec.dtype, device=spec.device)
        array = np.array(value)
        if array.dtype == object:  # gym's vector envs pad what some envs lack with None
            zero = np.zeros(spec.shape)
            array = np.stack([zero if v is None else np.asarray(v) for v in array])
        tensor = torch.from_numpy(array).to(dtype=spec.dtype, device=spec.device)
        return tensor.reshape(shape)


def spec_of_info(
    info: Mapping[str, Any], batch: torch.Size, *, ignore_private: bool = True
) -> dict[NestedKey, TensorSpec]:
    """Describe every numeric entry of an info dict; others are left out.

    Args:
        info: an example of the info dict.
        batch: the env's batch size, which prefixes the entries.
        ignore_private: skip keys that start with an underscore.
    """
    specs: dict[NestedKey, TensorSpec] = {}
    for key, value in info.items():
        if ignore_private and key.startswith("_"):
            continue
        if isinstance(value, Mapping):
            nested = spec_of_info(value, batch, ignore_private=ignore_private)
            for inner, spec in nested.items():
                tail = (inner,) if isinstance(inner, str) else inner
                specs[(key, *tail)] = spec
            continue
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            continue
        shape = torch.Size(array.shape)[len(batch) :]
        specs[key] = Unbounded(shape=shape, dtype=torch.from_numpy(np.array(value)).dtype)
    return specs


InfoReader = Callable[[Mapping[str, Any], TensorDictBase], TensorDictBase]
