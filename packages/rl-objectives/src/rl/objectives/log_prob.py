"""Log-probabilities of stored actions under a policy, and the shape they must have."""

from __future__ import annotations

from tensordict import TensorDictBase
from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential
from torch import Size, Tensor, nn
from torch.distributions import Distribution

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, ShapeError
from rl.objectives.stateless import inputs_of

__all__ = ["check_log_prob", "joint_log_prob", "policy_dist", "policy_log_prob"]

_PROBABILISTIC = (ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential)


def policy_dist(actor: nn.Module, tensordict: TensorDictBase) -> Distribution:
    """Return the actor's distribution for the batch, which stays as it is."""
    data = inputs_of(tensordict, actor.in_keys)
    if type(actor).get_dist is not ProbabilisticTensorDictSequential.get_dist:
        return actor.get_dist(data)
    *networks, head = actor.module
    if any(isinstance(net, _PROBABILISTIC) for net in networks) or not isinstance(
        head, ProbabilisticTensorDictModule
    ):
        return actor.get_dist(data)
    # one head, at the end: `get_dist` would search the whole actor for it
    for net in networks:
        data = net(data)
    return head.get_dist(data)


def policy_log_prob(actor: ProbabilisticTensorDictSequential, tensordict: TensorDictBase) -> Tensor:
    """Return the log-prob `[*B]` of the batch's actions under the actor."""
    dist = policy_dist(actor, tensordict)
    keys = actor.dist_sample_keys
    return joint_log_prob(dist, tensordict, keys)


def joint_log_prob(dist: Distribution, tensordict: TensorDictBase, keys: list[NestedKey]) -> Tensor:
    """Return the log-prob of the actions `keys`, summed over the heads of a composite."""
    if len(keys) == 1 and not _is_composite(dist):
        action = tensordict.get(keys[0], None)
        if action is None:
            raise MissingKeyError(
                f"`{keys[0]}` is not in the batch: the loss scores the actions that were taken. "
                "Name the entry that holds them with `set_keys(action=...)`."
            )
        return dist.log_prob(action)
    log_prob = dist.log_prob(tensordict.select(*keys))
    if isinstance(log_prob, TensorDictBase):
        leaves = log_prob.values(include_nested=True, leaves_only=True)
        batch = tensordict.ndim
        return sum(x if x.ndim == batch else x.flatten(batch).sum(-1) for x in leaves)
    return log_prob


def _is_composite(dist: Distribution) -> bool:
    return hasattr(dist, "dists")


def check_log_prob(key: NestedKey, log_prob: Tensor, expected: Size) -> None:
    """Raise unless a stored log-prob has the shape of the recomputed one.

    Raises:
        ShapeError: with the fix for a stray trailing dimension.
    """
    if log_prob.shape == expected:
        return
    message = f"`{key}` has shape {list(log_prob.shape)}, expected {list(expected)}"
    if log_prob.shape == (*expected, 1):
        message += (
            ": log-probs have the batch's shape, without a trailing dimension. "
            f"Store `{key}.squeeze(-1)`."
        )
    else:
        message += (
            ": it holds one number per action. Sum the log-prob over the action's components "
            "(`torch.distributions.Independent(dist, 1)`)."
        )
    raise ShapeError(message)
