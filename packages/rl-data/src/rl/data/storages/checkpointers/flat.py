"""Trajectories without their duplicates: the next observation is the observation that follows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from rl.core.errors import SpecError

__all__ = ["DONE_KEYS", "REWARD_KEYS", "Flat2TED", "TED2Flat"]

DONE_KEYS = ("done", "truncated", "terminated")
REWARD_KEYS = ("reward",)

_ENDS = "ends"
_Path = tuple[str, ...]


class TED2Flat:
    """Turns rows with root and `"next"` into rows where each observation is there once.

    Entries that root and `"next"` share are chained: of `N` rows, where `M` are followed by a row
    that does not begin where they end, `N + M` observations remain. Nothing is assumed of the
    data: rows are compared bit by bit, so that `Flat2TED` gives back exactly what was given. `M`
    is about the number of trajectories.

    Args:
        done_keys: last parts of the names of done flags, which are not chained.
        reward_keys: the same for rewards.

    Returns (of a call with a TensorDict `[N]`):
        A TensorDict without batch dimensions: chained entries `[N + M, ...]`, other entries
        `[N, ...]`, and `"ends"`, `[M]` int64, the rows after which a chain ends.

    Raises:
        SpecError: rows have no `"next"`, or an entry `"ends"`.

    Example:
        >>> x = torch.arange(4)
        >>> rows = TensorDict({"obs": x[:-1], "next": {"obs": x[1:]}}, [3])
        >>> flat = TED2Flat()(rows)
        >>> flat["obs"], flat["ends"]
        (tensor([0, 1, 2, 3]), tensor([2]))
        >>> bool((Flat2TED()(flat) == rows).all())
        True
    """

    def __init__(
        self,
        *,
        done_keys: Sequence[str] = DONE_KEYS,
        reward_keys: Sequence[str] = REWARD_KEYS,
    ) -> None:
        self.own_keys = {*done_keys, *reward_keys}

    def __call__(self, data: TensorDictBase) -> TensorDict:
        """Chain the rows."""
        if "next" not in data.keys() or _ENDS in data.keys():  # noqa: SIM118 (a TensorDict)
            raise SpecError(
                f"Rows to flatten have an entry `next` and none called `{_ENDS}`; theirs are "
                f"{sorted(data.keys())}. Save them with another checkpointer."
            )
        if data.ndim != 1 or not len(data):
            raise SpecError(
                f"Rows to flatten have shape {list(data.shape)}, expected one dimension of at "
                "least 1: flatten them, time last."
            )
        leaves = dict(_leaves(data))
        chained = [path for path in leaves if self._is_chained(path, leaves)]
        end = torch.zeros(len(data), dtype=torch.bool)
        end[-1] = True
        for path in chained:
            end[:-1] |= _differ(leaves["next", *path][:-1], leaves[path][1:])
        place = _places(end)
        flat = TensorDict({}, batch_size=[])
        for path, leaf in leaves.items():
            if path in chained:
                made = leaf.new_empty((len(leaf) + int(end.sum()), *leaf.shape[1:]))
                made[place] = leaf
                made[place[end] + 1] = leaves["next", *path][end]
                flat[path] = made
            elif path[1:] not in chained or path[0] != "next":
                flat[path] = leaf
        flat[_ENDS] = end.nonzero()[:, 0]
        return flat

    def _is_chained(self, path: _Path, leaves: dict[_Path, Tensor]) -> bool:
        other = leaves.get(("next", *path))
        if path[0] == "next" or path[-1] in self.own_keys or other is None:
            return False
        return other.shape == leaves[path].shape and other.dtype == leaves[path].dtype


class Flat2TED:
    """The inverse of `TED2Flat`.

    Example:
        >>> flat = TensorDict({"obs": torch.tensor([0, 1, 5, 6]), "ends": torch.tensor([0, 1])})
        >>> Flat2TED()(flat)["next", "obs"]
        tensor([1, 6])
    """

    def __call__(self, flat: TensorDictBase) -> TensorDict:
        """Give every row its next observation."""
        ends = flat[_ENDS]
        count = int(ends[-1]) + 1
        end = torch.zeros(count, dtype=torch.bool)
        end[ends] = True
        place = _places(end)
        rows = TensorDict({}, batch_size=[count])
        for path, leaf in _leaves(flat):
            if path == (_ENDS,):
                continue
            if len(leaf) == count:
                rows[path] = leaf
            else:
                rows[path] = leaf[place]
                rows["next", *path] = leaf[place + 1]
        return rows


def _leaves(data: TensorDictBase) -> list[tuple[_Path, Tensor]]:
    found = data.items(include_nested=True, leaves_only=True)
    return [(key if isinstance(key, tuple) else (key,), value) for key, value in found]


def _places(end: Tensor) -> Tensor:
    """Return where each row's observation is in the chain."""
    before = end.long().cumsum(0) - end.long()
    return torch.arange(len(end)) + before


def _differ(a: Tensor, b: Tensor) -> Tensor:
    """Return which rows differ in a bit: NaN equals itself, 0.0 is not -0.0."""
    if not a.numel():
        return torch.zeros(len(a), dtype=torch.bool)
    a, b = (x.cpu().reshape(len(x), -1) for x in (a, b))
    # a clone, since a view as bytes asks for strides that `contiguous` does not give to size 1
    a, b = (x.clone(memory_format=torch.contiguous_format).view(torch.uint8) for x in (a, b))
    return (a != b).any(1)
