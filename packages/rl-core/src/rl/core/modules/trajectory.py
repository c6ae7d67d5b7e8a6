"""Joining the transitions of a loop into a trajectory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase

__all__ = ["join_transitions"]


def join_transitions(transitions: Sequence[TensorDictBase]) -> TensorDictBase:
    """Return transitions `[*B]` as one trajectory `[*B, T]`, whose last dimension is `"time"`.

    It has the entries of the first: what a step writes below `"next"` alone is at the root from the
    second on.

    Example:
        >>> from tensordict import TensorDict
        >>> steps = [TensorDict(x=torch.zeros(3), batch_size=[3])] * 2
        >>> join_transitions(steps).names
        [None, 'time']
    """
    first = transitions[0]
    keys = list(first.keys(include_nested=True, leaves_only=True))
    trajectory = torch.stack([step.select(*keys) for step in transitions], first.batch_dims)
    trajectory.names = [*first.names, "time"]
    return trajectory
