"""Weights that carry a version and a checksum, so that a stale or partial update cannot pass."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import nn

from rl.core.checkpoint.tree import TreeReader, TreeWriter
from rl.core.errors import CheckpointError, nearest
from rl.core.weights.naming import WeightsError, extra_holders, named_tensors

__all__ = [
    "Weights",
    "WeightsError",
    "apply_weights",
    "checksum",
    "require_fit",
    "split_extra",
    "stamp_tensors",
    "versioned_weights",
]


@dataclass(frozen=True)
class Weights:
    """A module's parameters and buffers at one moment.

    Attributes:
        version: grows with every update.
        checksum: see `checksum`.
        tensordict: the tensors by flat name, detached, on the CPU; also those of the extra state.
        extra: the modules' extra state (`nn.Module.get_extra_state`) as JSON, empty for none.

    Example:
        >>> weights = versioned_weights(nn.Linear(2, 1), version=3)
        >>> weights.version, sorted(weights.tensordict.keys())
        (3, ['bias', 'weight'])
    """

    version: int
    checksum: int
    tensordict: TensorDictBase
    extra: str = ""


def versioned_weights(
    module: nn.Module, version: int, *, copy: bool = True, persistent: bool = True
) -> Weights:
    """Return the weights of `module`, stamped.

    Args:
        module: its parameters, buffers and extra state are taken.
        version: the stamp, 0 or more.
        copy: whether the tensors are copies; without, later training changes them and the
            checksum no longer holds.
        persistent: leave out the buffers that a `state_dict` leaves out.

    Raises:
        WeightsError: the module is lazy and has not run, or its extra state is neither tensors,
            numbers, strings, nor lists and dicts of them.
    """
    source = named_tensors(module, persistent=persistent)
    tensors = {name: value.clone() if copy else value for name, value in source.items()}
    states = {name: part.get_extra_state() for name, part in extra_holders(module).items()}
    return stamp_tensors(tensors, states, version)


def stamp_tensors(
    tensors: Mapping[str, torch.Tensor], states: Mapping[str, object], version: int
) -> Weights:
    """Return tensors and extra states by name as `Weights`.

    Args:
        tensors: the tensors; those on the CPU are not copied.
        states: of modules with extra state, by names that end in `_extra_state`.
        version: the stamp.

    Raises:
        WeightsError: a state is neither tensors, numbers, strings, nor lists and dicts of them.

    Example:
        >>> stamp_tensors({"a": torch.zeros(1)}, {"_extra_state": [3]}, 1).extra
        '{"_extra_state": [3]}'
    """
    extra, more = _encoded(states)
    tensordict = TensorDict({**tensors, **more}, batch_size=[]).cpu()
    return Weights(version, checksum(tensordict, extra), tensordict, extra)


def apply_weights(module: nn.Module, weights: Weights, *, current: int | None = None) -> int:
    """Copy `weights` into `module` in place and return their version.

    Everything is checked before anything is copied. Weights may be on another device, and of
    another floating dtype: each tensor keeps its own.

    Args:
        module: takes the weights.
        weights: from `versioned_weights` of an equal module.
        current: the version that the module has, `None` for none.

    Raises:
        WeightsError: stale, partial, of other shapes, or damaged.

    Example:
        >>> source, target = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> apply_weights(target, versioned_weights(source, version=1))
        1
        >>> bool((target.weight == source.weight).all())
        True
    """
    if current is not None and weights.version < current:
        raise WeightsError(
            f"Weights are stale: version {weights.version}, the module has {current}. "
            "Send the newest with `versioned_weights`."
        )
    given, theirs, extra = split_extra(weights)
    target, holders = _target(module, given), extra_holders(module)
    require_fit(given, target)
    _require_same_keys(set(extra), set(holders))
    _require_tied_alike(given, target)
    found = checksum(weights.tensordict, weights.extra)
    if found != weights.checksum:
        raise WeightsError(
            f"Weights of version {weights.version} are damaged: checksum {found}, expected "
            f"{weights.checksum}. Send them again; copy them if training goes on meanwhile."
        )
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(given[name])
    for name, state in TreeReader(theirs).decode(extra).items():
        holders[name].set_extra_state(state)
    return weights.version


def split_extra(
    weights: Weights,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, Any]]:
    """Return the parameters and buffers, the tensors of the extra state, and its JSON.

    Example:
        >>> split_extra(stamp_tensors({"a": torch.zeros(1)}, {"_extra_state": 3}, 1))
        ({'a': tensor([0.])}, {}, {'_extra_state': 3})
    """
    extra = json.loads(weights.extra) if weights.extra else {}
    tensors = {str(name): value for name, value in weights.tensordict.items()}
    theirs = {name: tensors.pop(name) for name in list(tensors) if name.split("/")[0] in extra}
    return tensors, theirs, extra


def checksum(tensordict: TensorDictBase | Mapping[str, torch.Tensor], extra: str = "") -> int:
    """Return a CRC-32 over the names and bytes of a flat TensorDict, and a text.

    Example:
        >>> one = TensorDict({"a": torch.zeros(2)})
        >>> checksum(one) == checksum(one.clone()) != checksum(one + 1)
        True
    """
    value = 0
    for name in sorted(map(str, tensordict.keys())):
        tensor = tensordict[name].detach().cpu().contiguous()
        value = zlib.crc32(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), value)
    return zlib.crc32(extra.encode(), value)


def require_fit(given: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> None:
    """Raise unless two sets of tensors have the same names and shapes, and kindred dtypes.

    Args:
        given: the tensors on their way, by name.
        target: those that they are for.

    Raises:
        WeightsError: names the first tensor that does not fit.

    Example:
        >>> require_fit({"a": torch.zeros(2)}, {"a": torch.ones(2, dtype=torch.float16)})
    """
    _require_same_keys(set(given), set(target))
    for name, tensor in target.items():
        if given[name].shape != tensor.shape:
            raise WeightsError(
                f"`{name}` has shape {list(given[name].shape)}, expected {list(tensor.shape)}: "
                "the weights belong to another network. Build both sides from one factory."
            )
        if _kind(given[name]) != _kind(tensor):
            raise WeightsError(
                f"`{name}` is {given[name].dtype}, expected {tensor.dtype}: a cast would change "
                "its values. Build both sides from one factory."
            )


def _kind(tensor: torch.Tensor) -> object:
    return "floating" if tensor.is_floating_point() else tensor.dtype


def _target(module: nn.Module, given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what `given` is for: all tensors where it has those that no state_dict has."""
    everything = named_tensors(module)
    persistent = named_tensors(module, persistent=True)
    beyond = everything.keys() - persistent.keys()
    return everything if beyond & given.keys() else persistent


def _encoded(states: Mapping[str, object]) -> tuple[str, dict[str, torch.Tensor]]:
    """Return extra states as JSON and the tensors in them."""
    if not states:
        return "", {}
    writer = TreeWriter()
    try:
        tree = {name: writer.encode(state, (name,)) for name, state in states.items()}
    except CheckpointError as error:
        raise WeightsError(f"The extra state of the module cannot be sent. {error}") from error
    return json.dumps(tree), writer.tensors


def _require_same_keys(given: set[str], expected: set[str]) -> None:
    missing = sorted(expected - given)
    if missing:
        raise WeightsError(
            f"Weights are partial: `{'`, `'.join(missing[:5])}` missing ({len(missing)} of "
            f"{len(expected)}). Take all of them with `versioned_weights`."
        )
    unknown = sorted(given - expected)
    if unknown:
        raise WeightsError(
            f"Weights hold `{unknown[0]}`, which the module lacks. {nearest(unknown[0], expected)}"
        )


def _require_tied_alike(
    given: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
) -> None:
    """Raise where one tensor of the target would be given two values."""
    first: dict[tuple, str] = {}
    for name, tensor in target.items():
        if not tensor.numel():
            continue
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
        twin = first.setdefault(place, name)
        if twin != name and not torch.equal(given[twin], given[name]):
            raise WeightsError(
                f"`{twin}` and `{name}` are one tensor of the module, and the weights give them "
                "two values: they are tied on one side only. Build both sides from one factory."
            )
