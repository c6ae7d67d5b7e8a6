"""The one-step bootstrapped target, for losses written by hand."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import NestedKey, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.objectives.functional.td import td0_return_estimate

__all__ = ["next_state_value"]


@torch.no_grad()
def next_state_value(
    tensordict: TensorDictBase,
    operator: TensorDictModuleBase | None = None,
    next_val_key: NestedKey = "state_action_value",
    gamma: float = 0.99,
    pred_next_val: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """Return r + gamma * V(next) `[*B]`, with `gamma ** steps_to_next_obs` where that is present.

    Args:
        tensordict: a batch of transitions.
        operator: computes the next value from the `"next"` entry, unless `pred_next_val` is given.
        next_val_key: what the operator writes.
        gamma: discount.
        pred_next_val: next values, `[*B]` or `[*B, 1]`.
        **kwargs: passed to the operator.

    Raises:
        ValueError: without operator and without next values.

    Example:
        >>> from tensordict import TensorDict
        >>> flag = torch.tensor([[False], [True]])
        >>> batch = TensorDict({"next": {"reward": torch.ones(2, 1), "done": flag}}, [2])
        >>> next_state_value(batch, gamma=0.5, pred_next_val=torch.full((2,), 4.0))
        tensor([3., 1.])
    """
    following = tensordict.get("next")
    if pred_next_val is None:
        if operator is None:
            raise ValueError("The next value needs `operator=` or `pred_next_val=`.")
        pred_next_val = operator(following.copy(), **kwargs).get(next_val_key)
    reward, done = following.get("reward"), following.get("done")
    terminated = following.get("terminated", None)
    steps = tensordict.get("steps_to_next_obs", None)
    value = pred_next_val if pred_next_val.ndim == reward.ndim else pred_next_val.unsqueeze(-1)
    discount = gamma if steps is None else gamma**steps
    return td0_return_estimate(discount, value, reward, terminated, done=done).squeeze(-1)
