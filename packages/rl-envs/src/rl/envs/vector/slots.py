"""A slot: one row of the buffers that a vector env shares with its envs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tensordict import NestedKey, TensorDictBase

__all__ = ["Slot"]


@dataclass(eq=False, slots=True)
class Slot:
    """Views of one row, as TensorDicts and as numpy arrays over the same memory.

    What `EnvBase._bind_step` returns reads `root` and writes `next`; what `EnvBase._bind_reset`
    returns writes `root`. An env that works in numpy uses the rows instead.

    Attributes:
        root: when stepping, the action and the state; when resetting, observation, state and flags.
        next: observation, reward and flags of the step; empty in the slot of a reset.
        root_rows: the leaves of `root` as numpy arrays.
        next_rows: the leaves of `next` as numpy arrays.
    """

    root: TensorDictBase
    next: TensorDictBase
    root_rows: dict[NestedKey, np.ndarray]
    next_rows: dict[NestedKey, np.ndarray]
