"""Weights that carry a version and a checksum, so that a stale or partial update cannot pass."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from tensordict import TensorDict, TensorDictBase
from torch import nn

from rl.core.errors import RLError, nearest

__all__ = ["Weights", "WeightsError", "apply_weights", "checksum", "versioned_weights"]


class WeightsError(RLError, ValueError):
    """Weights do not fit the module: other keys or shapes, damaged, or older than what it has."""


@dataclass(frozen=True)
class Weights:
    """A module's parameters and buffers at one moment.

    Attributes:
        version: grows with every update.
        checksum: see `checksum`.
        tensordict: the tensors by flat name, detached.

    Example:
        >>> weights = versioned_weights(nn.Linear(2, 1), version=3)
        >>> weights.version, sorted(weights.tensordict.keys())
        (3, ['bias', 'weight'])
    """

    version: int
    checksum: int
    tensordict: TensorDictBase


def versioned_weights(module: nn.Module, version: int, *, copy: bool = True) -> Weights:
    """Return the weights of `module`, stamped.

    Args:
        module: its parameters and persistent buffers are taken.
        version: the stamp, 0 or more.
        copy: whether the tensors are copies; without, later training changes them and the
            checksum no longer holds.
    """
    source = module.state_dict()
    tensors = {k: v.detach().clone() if copy else v.detach() for k, v in source.items()}
    tensordict = TensorDict(tensors, batch_size=[])
    return Weights(version, checksum(tensordict), tensordict)


def apply_weights(module: nn.Module, weights: Weights, *, current: int | None = None) -> int:
    """Copy `weights` into `module` in place and return their version.

    Everything is checked before anything is copied.

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
    target = module.state_dict()
    given = weights.tensordict
    _require_same_keys(set(map(str, given.keys())), set(target))
    for name, tensor in target.items():
        if given[name].shape != tensor.shape:
            raise WeightsError(
                f"`{name}` has shape {list(given[name].shape)}, expected {list(tensor.shape)}: "
                "the weights belong to another network. Build both sides from one factory."
            )
    found = checksum(given)
    if found != weights.checksum:
        raise WeightsError(
            f"Weights of version {weights.version} are damaged: checksum {found}, expected "
            f"{weights.checksum}. Send them again; copy them if training goes on meanwhile."
        )
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(given[name])
    return weights.version


def checksum(tensordict: TensorDictBase) -> int:
    """Return a CRC-32 over the names and bytes of a flat TensorDict.

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
    return value


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
