"""Upper confidence bounds of Auer et al. 2002."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.modules.search.score import MCTSScore, as_parent, check_positive, entry, mean_reward

__all__ = ["UCB1TunedScore", "UCBScore"]

# The greatest variance of rewards in [0, 1].
_BERNOULLI_VARIANCE = 0.25


class UCBScore(MCTSScore):
    """UCB1: `mean reward + c sqrt(ln(N) / n)` (Auer et al. 2002, figure 1).

    The paper has `c = sqrt(2)`, for rewards in [0, 1]. An action without visits scores infinity.

    Args:
        c: the exploration constant.
        win_count_key: where the sums of rewards are.
        visits_key: where the visits n of the actions are.
        total_visits_key: where the visits N of the node are.
        score_key: where the scores go.

    Reads:
        win_count: `[*B, A]`.
        visits: `[*B, A]`.
        total_visits: a scalar, `[*B]` or `[*B, 1]`.
    Writes:
        score: `[*B, A]`.

    Raises:
        RLError: `c` is negative.
        MissingKeyError: at call, an entry is not in the node.
        ShapeError: at call, the node's visits have another shape.

    Example:
        >>> from tensordict import TensorDict
        >>> node = TensorDict(
        ...     win_count=torch.tensor([2.0, 0.0]),
        ...     visits=torch.tensor([4.0, 0.0]),
        ...     total_visits=torch.tensor(4.0),
        ... )
        >>> UCBScore(c=2**0.5)(node)["score"]
        tensor([1.3326,    inf])
    """

    def __init__(
        self,
        *,
        c: float,
        win_count_key: NestedKey = "win_count",
        visits_key: NestedKey = "visits",
        total_visits_key: NestedKey = "total_visits",
        score_key: NestedKey = "score",
    ) -> None:
        super().__init__()
        self.c = check_positive("c", c)
        self.win_count_key = unravel_key(win_count_key)
        self.visits_key = unravel_key(visits_key)
        self.total_visits_key = unravel_key(total_visits_key)
        self.score_key = unravel_key(score_key)
        self.in_keys = [self.win_count_key, self.total_visits_key, self.visits_key]
        self.out_keys = [self.score_key]

    def forward(self, node: TensorDictBase) -> TensorDictBase:
        """Write the scores."""
        visits = entry(self, node, self.visits_key)
        total = as_parent(self.total_visits_key, entry(self, node, self.total_visits_key), visits)
        value = mean_reward(entry(self, node, self.win_count_key), visits)
        score = value + self.c * _log_ratio(total, visits).sqrt()
        return node.set(self.score_key, score.masked_fill(visits == 0, torch.inf))


class UCB1TunedScore(MCTSScore):
    """UCB1-Tuned: `mean + sqrt(ln(N) / n * min(1/4, V))` (Auer et al. 2002, section 4).

    `V = mean of squares - mean^2 + sqrt(c ln(N) / n)`, for rewards in [0, 1]; the paper has
    `c = 2`. An action without visits scores infinity.

    Args:
        win_count_key: where the sums of rewards are.
        visits_key: where the visits n of the actions are.
        total_visits_key: where the visits N of the node are.
        sum_squared_rewards_key: where the sums of squared rewards are.
        score_key: where the scores go.
        exploration_constant: the constant c.

    Reads:
        win_count: `[*B, A]`.
        visits: `[*B, A]`.
        total_visits: a scalar, `[*B]` or `[*B, 1]`.
        sum_squared_rewards: `[*B, A]`.
    Writes:
        score: `[*B, A]`.

    Raises:
        RLError: `exploration_constant` is negative.
        MissingKeyError: at call, an entry is not in the node.
        ShapeError: at call, the node's visits have another shape.

    Example:
        >>> from tensordict import TensorDict
        >>> node = TensorDict(
        ...     win_count=torch.tensor([2.0, 0.0]),
        ...     visits=torch.tensor([4.0, 0.0]),
        ...     total_visits=torch.tensor(4.0),
        ...     sum_squared_rewards=torch.tensor([1.0, 0.0]),
        ... )
        >>> UCB1TunedScore()(node)["score"]
        tensor([0.7944,    inf])
    """

    def __init__(
        self,
        *,
        win_count_key: NestedKey = "win_count",
        visits_key: NestedKey = "visits",
        total_visits_key: NestedKey = "total_visits",
        sum_squared_rewards_key: NestedKey = "sum_squared_rewards",
        score_key: NestedKey = "score",
        exploration_constant: float = 2.0,
    ) -> None:
        super().__init__()
        self.exploration_constant = check_positive("exploration_constant", exploration_constant)
        self.win_count_key = unravel_key(win_count_key)
        self.visits_key = unravel_key(visits_key)
        self.total_visits_key = unravel_key(total_visits_key)
        self.sum_squared_rewards_key = unravel_key(sum_squared_rewards_key)
        self.score_key = unravel_key(score_key)
        self.in_keys = [
            self.win_count_key,
            self.visits_key,
            self.total_visits_key,
            self.sum_squared_rewards_key,
        ]
        self.out_keys = [self.score_key]

    def forward(self, node: TensorDictBase) -> TensorDictBase:
        """Write the scores."""
        visits = entry(self, node, self.visits_key)
        total = as_parent(self.total_visits_key, entry(self, node, self.total_visits_key), visits)
        mean = mean_reward(entry(self, node, self.win_count_key), visits)
        squares = mean_reward(entry(self, node, self.sum_squared_rewards_key), visits)
        ratio = _log_ratio(total, visits)
        bound = squares - mean.square() + (self.exploration_constant * ratio).sqrt()
        # rounding may leave a variance just below zero
        score = mean + (ratio * bound.clamp(0.0, _BERNOULLI_VARIANCE)).sqrt()
        return node.set(self.score_key, score.masked_fill(visits == 0, torch.inf))


def _log_ratio(total: Tensor, visits: Tensor) -> Tensor:
    """Return `ln(N) / n`; its value where n is 0 is of no account."""
    return total.clamp(min=1).log() / visits.clamp(min=1)
