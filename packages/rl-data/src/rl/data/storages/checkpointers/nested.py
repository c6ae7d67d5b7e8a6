"""Trajectories as nested tensors: one entry of the batch is one trajectory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict, TensorDictBase

from rl.data.storages.checkpointers.flat import DONE_KEYS, REWARD_KEYS, Flat2TED, TED2Flat

__all__ = ["Nested2TED", "TED2Nested"]


class TED2Nested:
    """Turns rows into a TensorDict with one entry per trajectory, of jagged nested tensors.

    A trajectory here is a run of rows of which each begins where the one before ends. Of one with
    `T` rows, entries that root and `"next"` share have `T + 1` values and others `T`; see
    `TED2Flat`.

    Args:
        done_keys: last parts of the names of done flags.
        reward_keys: the same for rewards.

    Example:
        >>> rows = TensorDict(
        ...     {"obs": torch.tensor([0, 1, 5]), "next": {"obs": torch.tensor([1, 2, 6])}}, [3]
        ... )
        >>> nested = TED2Nested()(rows)
        >>> nested.shape, [part.tolist() for part in nested["obs"].unbind()]
        (torch.Size([2]), [[0, 1, 2], [5, 6]])
        >>> bool((Nested2TED()(nested) == rows).all())
        True
    """

    def __init__(
        self,
        *,
        done_keys: Sequence[str] = DONE_KEYS,
        reward_keys: Sequence[str] = REWARD_KEYS,
    ) -> None:
        self._flatten = TED2Flat(done_keys=done_keys, reward_keys=reward_keys)

    def __call__(self, data: TensorDictBase) -> TensorDict:
        """Nest rows, `[N]`."""
        flat = self._flatten(data)
        ends = flat.pop("ends")
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), ends + 1])
        chained = offsets + torch.arange(len(offsets))
        count = len(data)
        nested = TensorDict({}, batch_size=[len(ends)])
        for key, leaf in flat.items(include_nested=True, leaves_only=True):
            bounds = offsets if len(leaf) == count else chained
            nested[key] = torch.nested.nested_tensor_from_jagged(leaf.contiguous(), bounds)
        return nested


class Nested2TED:
    """The inverse of `TED2Nested`.

    Example:
        >>> x = torch.nested.nested_tensor_from_jagged(torch.arange(3), torch.tensor([0, 3]))
        >>> y = torch.nested.nested_tensor_from_jagged(torch.arange(2), torch.tensor([0, 2]))
        >>> Nested2TED()(TensorDict({"x": x, "next": {"y": y}}, [1]))["next", "x"]
        tensor([1, 2])
    """

    def __call__(self, nested: TensorDictBase) -> TensorDict:
        """Give every row its next observation."""
        leaves = dict(nested.items(include_nested=True, leaves_only=True))
        lengths = {len(leaf.values()) for leaf in leaves.values()}
        shortest = min(leaves.values(), key=lambda leaf: len(leaf.values()))
        ends = shortest.offsets()[1:] - 1
        if len(lengths) == 1 and not any(key[0] == "next" for key in leaves):
            ends = ends - torch.arange(1, len(ends) + 1)  # there are none but chained entries
        flat = TensorDict({key: leaf.values() for key, leaf in leaves.items()})
        flat["ends"] = ends
        return Flat2TED()(flat)
