"""Rewards of the end of an episode, given to each of its steps."""

from __future__ import annotations

from tensordict import TensorDictBase
from torch import nn

from rl.core.contract.keys import NestedKey, in_next
from rl.core.errors import MissingKeyError
from rl.data.transforms.reward2go import reward_to_go
from rl.data.transforms.trajectories import time_dimension, trajectory_ends

__all__ = ["DensifyReward"]


class DensifyReward(nn.Module):
    """Give each step the reward that its trajectory ended with, as a post-processing of batches.

    It is meant for data whose reward is zero but at the end: rewards on the way are summed too, as
    in a reward-to-go.

    Args:
        reward_key: rewards, below `"next"`.
        done_key: ends of trajectories, below `"next"`.
        reward_key_out: where to write, below `"next"`; `reward_key` by default.
        time_dim: the batch dimension of time; that named `"time"`, else the last, by default.
        discount: discount per step.

    Reads:
        ("next", "reward"): `[*B, T, *F]`.
        ("next", "done"): `[*B, T, 1]` bool.
    Writes:
        ("next", reward_key_out): `[*B, T, *F]`.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> done = torch.tensor([[False], [True], [False]])
        >>> reward = torch.tensor([[0.0], [3.0], [0.0]])
        >>> data = TensorDict({"next": {"reward": reward, "done": done}}, [3])
        >>> DensifyReward()(data)["next", "reward"].flatten()
        tensor([3., 3., 0.])
    """

    def __init__(
        self,
        *,
        reward_key: NestedKey = "reward",
        done_key: NestedKey = "done",
        reward_key_out: NestedKey | None = None,
        time_dim: int | None = None,
        discount: float = 1.0,
    ) -> None:
        super().__init__()
        self.reward_key = reward_key
        self.done_key = done_key
        self.reward_key_out = reward_key if reward_key_out is None else reward_key_out
        self.time_dim = time_dim
        self.discount = discount

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the rewards into the batch and return it.

        Raises:
            MissingKeyError: rewards or flags are missing.
            ShapeError: the batch has no time dimension.
        """
        dim = time_dimension(tensordict, "DensifyReward")
        if self.time_dim is not None:
            dim = self.time_dim % tensordict.ndim
        ends = trajectory_ends(tensordict, self.done_key, time_dim=dim, owner="DensifyReward")
        reward = tensordict.get(in_next(self.reward_key), None)
        if reward is None:
            raise MissingKeyError(
                f"`DensifyReward` reads `{in_next(self.reward_key)}`, which is not in the data "
                f"(they have {sorted(map(str, tensordict.keys(True, True)))}): pass "
                "`reward_key=...`."
            )
        dense = reward_to_go(reward, ends, self.discount, dim)
        return tensordict.set(in_next(self.reward_key_out), dense)
