"""The random generators as a checkpoint component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rl.core.seeding import rng_state, set_rng_state

__all__ = ["GlobalRNGState"]


class GlobalRNGState:
    """The random generators of python, numpy and torch as a checkpoint component.

    Example:
        >>> import torch
        >>> rng = GlobalRNGState()
        >>> state = rng.state_dict()
        >>> first = torch.rand(3)
        >>> rng.load_state_dict(state)
        >>> bool((torch.rand(3) == first).all())
        True
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the generators' states; see `rl.core.seeding.rng_state`."""
        return dict(rng_state())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set the generators back."""
        set_rng_state(dict(state_dict))
