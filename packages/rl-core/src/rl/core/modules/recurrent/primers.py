"""The transforms that a module asks of its env: what writes its state at reset."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from torch import nn

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingDependencyError, NotRegisteredError, SpecError
from rl.core.registry import Registry
from rl.core.transform import Compose, Transform

__all__ = [
    "TRANSFORMS",
    "declared_primers",
    "get_env_transforms_from_module",
    "get_primers_from_module",
    "init_keys",
    "make_transform",
]

#: transforms of envs that modules ask for by name; rl-envs declares them
TRANSFORMS = Registry("rl.transforms")


def make_transform(name: str, *args: Any, **kwargs: Any) -> Transform:
    """Return a transform of another wheel, built from the arguments.

    Args:
        name: its class, such as `"TensorDictPrimer"`.
        args: what it is built from.
        kwargs: what it is built from.

    Raises:
        MissingDependencyError: no installed wheel declares it.
    """
    try:
        kind = _load(TRANSFORMS, name)
    except NotRegisteredError as error:
        raise MissingDependencyError(
            f'`{name}` is a transform of envs and needs another wheel: `pip install "rl-envs"`.'
        ) from error
    return kind(*args, **kwargs)


@cache
def _load(registry: Registry, name: str) -> type[Transform]:
    # a look at all installed wheels takes milliseconds, and each rollout asks
    return registry.load(name)


def declared_primers(module: nn.Module, *, strict: bool = True) -> list[Transform]:
    """Return the primers of every submodule that makes one (`make_tensordict_primer`).

    Args:
        module: the modules to ask are those of `module.modules()`.
        strict: raise what a submodule raises; otherwise warn and leave its primer out.

    Raises:
        SpecError: two submodules keep their states under one key.
    """
    primers, owners = [], {}
    for part in module.modules():
        if not _declares(part):
            continue
        try:
            primer = part.make_tensordict_primer()
        except Exception as error:
            if strict:
                raise
            warnings.warn(
                f"`{type(part).__name__}.make_tensordict_primer` failed and is left out: {error}",
                stacklevel=3,
            )
            continue
        for key in primer.out_keys:
            if key in owners:
                raise SpecError(
                    f"Two modules, {owners[key]} and {type(part).__name__}, keep their state under "
                    f"`{key}`: each would overwrite the other's. Give each its own `in_keys`."
                )
            owners[key] = type(part).__name__
        primers.append(primer)
    return primers


def _declares(part: nn.Module) -> bool:
    # a `TensorDictModule` also shows the attributes of the module that it wraps
    return any("make_tensordict_primer" in vars(owner) for owner in (part, *type(part).__mro__))


def init_keys(module: nn.Module) -> list[NestedKey]:
    """Return the flags of first steps that the recurrent submodules of `module` read."""
    keys = [getattr(part, "init_key", None) for part in module.modules()]
    return list(dict.fromkeys(key for key in keys if key is not None))


def get_primers_from_module(
    module: nn.Module, warn: bool = True, strict: bool = True
) -> Transform | None:
    """Return the transform that writes the states of all submodules at reset.

    Args:
        module: a module with submodules that have `make_tensordict_primer`.
        warn: warn when there are none.
        strict: raise what a submodule raises; otherwise warn and leave its primer out.

    Returns:
        A `TensorDictPrimer`, a `Compose` of several, or None if no submodule has a state.

    Raises:
        MissingDependencyError: rl-envs, where the transforms are, is not installed.
        SpecError: two submodules keep their states under one key.

    Example:
        >>> get_primers_from_module(nn.Linear(1, 1), warn=False) is None
        True
    """
    primers = declared_primers(module, strict=strict)
    if not primers and warn:
        warnings.warn(
            f"No part of `{type(module).__name__}` has `make_tensordict_primer`: it keeps no state "
            "in the TensorDict. Pass `warn=False` if that is meant.",
            stacklevel=2,
        )
    if len(primers) > 1:
        return Compose(*primers)
    return primers[0] if primers else None


def get_env_transforms_from_module(module: nn.Module, init_key: str = "is_init") -> Transform:
    """Return what an env needs for the recurrent parts of `module`: append it to the env.

    Collectors and `env.rollout` do this by themselves.

    Args:
        module: a policy.
        init_key: leaf name of the flag that marks first steps.

    Returns:
        A `Compose` of an `InitTracker` and the primers; only an `InitTracker` if there are none.

    Raises:
        MissingDependencyError: rl-envs, where the transforms are, is not installed.
        SpecError: the modules read another flag, or keep their states under one key.
    """
    for key in init_keys(module):
        leaf = key if isinstance(key, str) else key[-1]
        if leaf != init_key:
            raise SpecError(
                f"`{type(module).__name__}` reads `{key}` and `init_key` is `{init_key}`: pass "
                f'`init_key="{leaf}"`.'
            )
    tracker = make_transform("InitTracker", init_key)
    primers = declared_primers(module)
    return Compose(tracker, *primers) if primers else tracker
