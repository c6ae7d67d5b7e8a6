"""The score of AlphaZero's search."""

from __future__ import annotations

from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.modules.search.score import MCTSScore, as_parent, check_positive, entry, mean_reward

__all__ = ["PUCTScore"]


class PUCTScore(MCTSScore):
    """PUCT, the score of AlphaGo Zero: `Q(s, a) + c P(s, a) sqrt(N(s)) / (1 + N(s, a))`.

    Silver et al. 2017, Methods, "Search algorithm". Q is the mean reward, 0 for an action without
    visits.

    Args:
        c: the exploration constant.
        win_count_key: where the sums of rewards are.
        visits_key: where the visits of the actions are.
        total_visits_key: where the visits of the node are.
        prior_prob_key: where the policy's probabilities are.
        score_key: where the scores go.

    Reads:
        win_count: `[*B, A]`.
        visits: `[*B, A]`.
        total_visits: a scalar, `[*B]` or `[*B, 1]`.
        prior_prob: `[*B, A]`.
    Writes:
        score: `[*B, A]`.

    Raises:
        RLError: `c` is negative.
        MissingKeyError: at call, an entry is not in the node.
        ShapeError: at call, the node's visits have another shape.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> node = TensorDict(
        ...     win_count=torch.tensor([2.0, 0.0]),
        ...     visits=torch.tensor([4.0, 0.0]),
        ...     total_visits=torch.tensor(4.0),
        ...     prior_prob=torch.tensor([0.5, 0.5]),
        ... )
        >>> PUCTScore(c=1.0)(node)["score"]
        tensor([0.7000, 1.0000])
    """

    def __init__(
        self,
        *,
        c: float,
        win_count_key: NestedKey = "win_count",
        visits_key: NestedKey = "visits",
        total_visits_key: NestedKey = "total_visits",
        prior_prob_key: NestedKey = "prior_prob",
        score_key: NestedKey = "score",
    ) -> None:
        super().__init__()
        self.c = check_positive("c", c)
        self.win_count_key = unravel_key(win_count_key)
        self.visits_key = unravel_key(visits_key)
        self.total_visits_key = unravel_key(total_visits_key)
        self.prior_prob_key = unravel_key(prior_prob_key)
        self.score_key = unravel_key(score_key)
        self.in_keys = [
            self.win_count_key,
            self.prior_prob_key,
            self.total_visits_key,
            self.visits_key,
        ]
        self.out_keys = [self.score_key]

    def forward(self, node: TensorDictBase) -> TensorDictBase:
        """Write the scores."""
        visits = entry(self, node, self.visits_key)
        total = as_parent(self.total_visits_key, entry(self, node, self.total_visits_key), visits)
        prior = entry(self, node, self.prior_prob_key)
        explore = self.c * prior * total.sqrt() / (1 + visits)
        value = mean_reward(entry(self, node, self.win_count_key), visits)
        return node.set(self.score_key, value + explore)
