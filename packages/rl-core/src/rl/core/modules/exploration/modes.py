"""Exploration modes: what a policy draws, and whether exploration modules act."""

from __future__ import annotations

from tensordict.nn import InteractionType, interaction_type, set_interaction_type

__all__ = ["ExplorationType", "exploration_type", "explores", "set_exploration_type"]

# the same objects as tensordict's, so that `set_interaction_type` and this one are one switch
ExplorationType = InteractionType
exploration_type = interaction_type
set_exploration_type = set_interaction_type


def explores() -> bool:
    """Tell whether exploration modules act: in RANDOM mode, and where no mode is set.

    Example:
        >>> with set_exploration_type(ExplorationType.DETERMINISTIC):
        ...     explores()
        False
    """
    mode = interaction_type()
    return mode is None or mode is InteractionType.RANDOM
