"""Done groups: the places of an env where done flags live, and the reset masks that act on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.specs import Composite

__all__ = [
    "FlagGroup",
    "batch_mask",
    "expand_mask",
    "find_mask",
    "flag_groups",
    "flag_groups_of_data",
    "group_of",
]

FLAGS = ("done", "terminated", "truncated")


@dataclass(frozen=True)
class FlagGroup:
    """One place with done flags: `path` is `()` at the root, `("agents",)` for a nested group.

    `shape` is the shape of the group's done flag, env batch size included.
    """

    path: tuple[str, ...]
    shape: torch.Size
    device: torch.device | None = None

    def key(self, name: str) -> NestedKey:
        """Return the key of the entry called `name` in this group."""
        return (*self.path, name) if self.path else name

    def node(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the TensorDict in which the group's flags live."""
        for name in self.path:
            tensordict = tensordict[name]
        return tensordict


def flag_groups(done_spec: Composite) -> tuple[FlagGroup, ...]:
    """Return the groups of a done spec; flags at the root stand for those nested below them.

    Example:
        >>> import torch
        >>> from rl.core.specs import Binary
        >>> spec = Composite(agents=Composite(done=Binary(1, (3, 1), dtype=torch.bool), shape=(3,)))
        >>> [(group.path, tuple(group.shape)) for group in flag_groups(spec)]
        [(('agents',), (3, 1))]
    """
    found = {}
    for key in done_spec.keys(True, True):
        spec = done_spec[key]
        _add(found, key, spec.shape, spec.device)
    return _outermost(found)


def flag_groups_of_data(tensordict: TensorDictBase) -> tuple[FlagGroup, ...]:
    """Return the groups found in a step or reset result, for use without specs."""
    found = {}
    for key in tensordict.keys(True, True):
        path = (key,) if isinstance(key, str) else key
        if path[0] != "next" and path[-1] in FLAGS:
            value = tensordict[key]
            _add(found, key, value.shape, value.device)
    return _outermost(found)


def _add(found: dict, key: NestedKey, shape: torch.Size, device: torch.device | None) -> None:
    path = () if isinstance(key, str) else key[:-1]
    leaf = key if isinstance(key, str) else key[-1]
    if path not in found or leaf == "done":
        found[path] = FlagGroup(path, torch.Size(shape), device)


def _outermost(found: dict[tuple[str, ...], FlagGroup]) -> tuple[FlagGroup, ...]:
    covered = [path for path in found if any(path[:n] in found for n in range(len(path)))]
    return tuple(group for path, group in found.items() if path not in covered)


def group_of(key: NestedKey, groups: tuple[FlagGroup, ...]) -> FlagGroup | None:
    """Return the group with the longest path that `key` lies in, else the only group there is."""
    path = () if isinstance(key, str) else key[:-1]
    holders = [group for group in groups if path[: len(group.path)] == group.path]
    if holders:
        return max(holders, key=lambda group: len(group.path))
    return groups[0] if len(groups) == 1 else None


def find_mask(
    tensordict: TensorDictBase | None, path: tuple[str, ...] = (), name: str = "_reset"
) -> Tensor | None:
    """Return the mask called `name` that governs `path`: the outermost one on the way there."""
    if tensordict is None:
        return None
    for depth in range(len(path) + 1):
        mask = tensordict.get((*path[:depth], name), None)
        if mask is not None:
            return mask
    return None


def expand_mask(mask: Tensor, target: Tensor | torch.Size) -> Tensor:
    """Return `mask` (`[*B]` or `[*B, 1]`) broadcast to the shape of `target` (`[*B, ...]`)."""
    shape = target if isinstance(target, torch.Size) else target.shape
    while mask.ndim > len(shape) and mask.shape[-1] == 1:
        mask = mask.squeeze(-1)
    if mask.ndim == len(shape) and mask.shape[-1:] != shape[-1:] and mask.shape[-1] != 1:
        return mask.expand(shape)  # raises with the two shapes
    while mask.ndim < len(shape):
        mask = mask.unsqueeze(-1)
    return mask.expand(shape)


def batch_mask(mask: Tensor, batch_size: torch.Size) -> Tensor:
    """Return `mask` with the shape of the batch: true for a row where any of its entries is."""
    return mask.reshape(*batch_size, -1).any(-1)
