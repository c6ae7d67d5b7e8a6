"""The scores by name."""

from __future__ import annotations

import enum
from functools import partial

from rl.core.modules.search.exp3 import EXP3Score
from rl.core.modules.search.puct import PUCTScore
from rl.core.modules.search.score import MCTSScore
from rl.core.modules.search.ucb import UCB1TunedScore, UCBScore

__all__ = ["MCTSScores"]


class MCTSScores(enum.Enum):
    """Builders of the scores with their usual constants.

    Example:
        >>> MCTSScores.PUCT().c, MCTSScores["EXP3"]().gamma
        (5, 0.1)
    """

    PUCT = enum.member(partial(PUCTScore, c=5))
    UCB = enum.member(partial(UCBScore, c=2**0.5))
    UCB1_TUNED = enum.member(partial(UCB1TunedScore, exploration_constant=2.0))
    EXP3 = enum.member(partial(EXP3Score, gamma=0.1))

    def __call__(self) -> MCTSScore:
        """Return a new score."""
        return self.value()
