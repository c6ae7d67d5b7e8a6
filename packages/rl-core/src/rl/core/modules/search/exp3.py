"""The exponential-weight algorithm for adversarial bandits."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import RLError, ShapeError
from rl.core.modules.search.score import MCTSScore, entry

__all__ = ["EXP3Score"]


class EXP3Score(MCTSScore):
    """Probabilities of EXP3: `(1 - gamma) w_i / sum(w) + gamma / K`.

    Auer et al. 2002, "The nonstochastic multiarmed bandit problem", figure 1. Draw an action from
    them, then call `update_weights` with its reward.

    Args:
        gamma: share of the uniform distribution, in [0, 1].
        weights_key: where the weights w are; they start at 1.
        action_prob_key: where the probabilities go.
        reward_key: where `update_weights` looks for a reward that it is not given.
        score_key: where the probabilities go as scores.
        num_actions_key: where the number K of actions is, if it is there.

    Reads:
        weights: `[*B, A]`.
        num_actions: int or `[*B]`, optional; checked against the weights.
    Writes:
        score: `[*B, A]`.
        action_prob: `[*B, A]`, the same.

    Raises:
        RLError: `gamma` is not in [0, 1].
        MissingKeyError: at call, there are no weights.
        ShapeError: at call, `num_actions` is not the number of weights.

    Example:
        >>> from tensordict import TensorDict
        >>> exp3 = EXP3Score(gamma=0.1)
        >>> node = exp3(TensorDict(weights=torch.tensor([1.0, 3.0])))
        >>> node["score"]
        tensor([0.2750, 0.7250])
        >>> exp3.update_weights(node, action_idx=0, reward=0.8)
        >>> node["weights"]
        tensor([1.1566, 3.0000])
    """

    def __init__(
        self,
        *,
        gamma: float = 0.1,
        weights_key: NestedKey = "weights",
        action_prob_key: NestedKey = "action_prob",
        reward_key: NestedKey = "reward",
        score_key: NestedKey = "score",
        num_actions_key: NestedKey = "num_actions",
    ) -> None:
        super().__init__()
        if not 0 <= gamma <= 1:
            raise RLError(
                f"`gamma` is {gamma}, expected a number in [0, 1]: it is the share of the uniform "
                "distribution; 0.1 is a start."
            )
        self.gamma = gamma
        self.weights_key = unravel_key(weights_key)
        self.action_prob_key = unravel_key(action_prob_key)
        self.reward_key = unravel_key(reward_key)
        self.score_key = unravel_key(score_key)
        self.num_actions_key = unravel_key(num_actions_key)
        self.in_keys = [self.weights_key]
        self.out_keys = [self.score_key, self.action_prob_key]

    def forward(self, node: TensorDictBase) -> TensorDictBase:
        """Write the probabilities."""
        weights = entry(self, node, self.weights_key)
        number = weights.shape[-1]
        self._check_number(node, number)
        share = weights / weights.sum(-1, keepdim=True)
        probs = (1 - self.gamma) * share + self.gamma / number
        node.set(self.score_key, probs)
        return node.set(self.action_prob_key, probs)

    def update_weights(
        self,
        node: TensorDictBase,
        action_idx: int | Tensor,
        reward: float | Tensor | None = None,
    ) -> None:
        """Multiply the weight of the action taken by `exp(gamma / K * reward / probability)`.

        Args:
            node: a node with weights and scores.
            action_idx: the action taken: an int, or `[*B]` int64.
            reward: its reward, in [0, 1]: a number, or `[*B]`; read from the node if None.

        Raises:
            RLError: a reward is outside [0, 1], or an action had a probability of 0.
            MissingKeyError: weights, scores or the reward are not in the node.
            ShapeError: `action_idx` or `reward` is neither common to all nodes nor one for each.
        """
        weights = entry(self, node, self.weights_key)
        probs = entry(self, node, self.score_key)
        if reward is None:
            reward = entry(self, node, self.reward_key)
        batch = weights.shape[:-1]
        index = _per_node("action_idx", torch.as_tensor(action_idx, device=weights.device), batch)
        reward = torch.as_tensor(reward, dtype=weights.dtype, device=weights.device)
        reward = _per_node("reward", reward, batch)
        if not ((reward >= 0) & (reward <= 1)).all():
            raise RLError("EXP3 was given a reward outside [0, 1]: scale the rewards into it.")
        prob = probs.gather(-1, index)
        if not (prob > 0).all():
            raise RLError(
                "An action of probability 0 was taken: draw actions from the scores, or use a "
                "`gamma` above 0."
            )
        growth = (self.gamma / weights.shape[-1] * reward / prob).exp()
        node.set(self.weights_key, weights.scatter(-1, index, weights.gather(-1, index) * growth))

    def _check_number(self, node: TensorDictBase, number: int) -> None:
        given = node.get(self.num_actions_key, None)
        if given is None or (torch.as_tensor(given) == number).all():
            return
        raise ShapeError(
            f"{self.num_actions_key!r} is {given}, {self.weights_key!r} has {number} entries: one "
            "weight for each action."
        )


def _per_node(name: str, value: Tensor, batch: torch.Size) -> Tensor:
    """Return `[*B, 1]` of a value common to all nodes, or one for each."""
    if value.shape == (*batch, 1):
        return value
    if value.dim() and value.shape != batch:
        raise ShapeError(
            f"`{name}` has shape {list(value.shape)}, expected {list(batch)}: one for each node."
        )
    return value.expand(batch).unsqueeze(-1)
