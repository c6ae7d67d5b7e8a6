"""Reward-to-go, computed while a buffer is written."""

from __future__ import annotations

from collections.abc import Sequence

from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, in_next, sibling
from rl.core.errors import RLError, ShapeError
from rl.core.scan import linear_recurrence
from rl.core.specs import Composite
from rl.core.transform import Transform
from rl.data.transforms.trajectories import any_feature, time_dimension, trajectory_ends

__all__ = ["Reward2GoTransform", "reward_to_go"]


def reward_to_go(reward: Tensor, ends: Tensor, gamma: float | Tensor, time_dim: int) -> Tensor:
    """Sum the discounted rewards from each step to the end of its trajectory.

    Args:
        reward: r_t, `[*B, T, *F]`.
        ends: `[*B, T]` bool, true at the last step of a trajectory.
        gamma: discount.
        time_dim: index of T.

    Example:
        >>> import torch
        >>> ends = torch.tensor([False, True, True])
        >>> reward_to_go(torch.ones(3, 1), ends, 0.5, 0).flatten()
        tensor([1.5000, 1.0000, 1.0000])
    """
    go_on = (~ends).reshape(*ends.shape, *[1] * (reward.ndim - ends.ndim))
    decay = (go_on.to(reward.dtype) * gamma).expand_as(reward)
    return linear_recurrence(decay, reward, dim=time_dim)


class Reward2GoTransform(Transform):
    """Write the discounted sum of rewards to the end of the episode, on the way into a buffer.

    The sum of the last steps, whose episode does not end in the data, goes to the end of the data;
    a row in which no episode ends raises. It can also be a collector's
    `postproc=Reward2GoTransform(...).inv`.

    Args:
        gamma: discount.
        in_keys: rewards; `[("next", "reward")]` by default.
        out_keys: keys written; `in_keys` by default.
        done_key: the flag that ends an episode, below `"next"`; `truncated` beside it counts too.

    Reads:
        ("next", "reward"): `[*B, T, *F]`.
        ("next", "done"): `[*B, T, 1]` bool.
        ("next", "truncated"): `[*B, T, 1]` bool, optional.
        ("collector", "traj_ids"): `[*B, T]`, optional; a change of id ends an episode.
    Writes:
        out_keys: `[*B, T, *F]`.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> done = torch.tensor([[False], [True], [True]])
        >>> data = TensorDict({"next": {"reward": torch.ones(3, 1), "done": done}}, [3])
        >>> Reward2GoTransform(gamma=0.5, out_keys=["to_go"]).inv(data)["to_go"].flatten()
        tensor([1.5000, 1.0000, 1.0000])
    """

    def __init__(
        self,
        gamma: float | Tensor | None = 1.0,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        done_key: NestedKey | None = "done",
    ) -> None:
        keys = [("next", "reward")] if in_keys is None else in_keys
        super().__init__(in_keys_inv=keys, out_keys_inv=out_keys)
        if len(self.in_keys_inv) != len(self.out_keys_inv):
            raise ShapeError(
                f"`in_keys` are {self.in_keys_inv}, `out_keys` {self.out_keys_inv}: give as many."
            )
        self.done_key = "done" if done_key is None else done_key
        self._gamma = 1.0 if gamma is None else gamma

    @property
    def gamma(self) -> float | Tensor:
        """The discount."""
        return self._gamma

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        name = type(self).__name__
        dim = time_dimension(tensordict, name)
        ends = trajectory_ends(tensordict, self.done_key, time_dim=dim, owner=name)
        done = tensordict.get(in_next(self.done_key))
        truncated = tensordict.get(in_next(sibling(self.done_key, "truncated")), None)
        if truncated is not None:
            done = done | truncated
            ends = ends | any_feature(truncated, tensordict.ndim)
        if not any_feature(done, tensordict.ndim).any(dim).all():
            raise RLError(
                f"`{name}` sums rewards to the end of the episode, and a row of the data has no "
                "end: collect whole episodes, or more frames per batch than an episode has steps."
            )
        for in_key, out_key in zip(self.in_keys_inv, self.out_keys_inv, strict=True):
            reward = tensordict.get(in_key, None)
            if reward is None:
                raise self._missing(in_key, tensordict.keys(True, True))
            tensordict.set(out_key, reward_to_go(reward, ends, self._gamma, dim))
        return tensordict

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Refuse to work in an env.

        Raises:
            RLError: always.
        """
        raise RLError(
            "`Reward2GoTransform` sums later rewards, which an env does not know: give it to "
            "`ReplayBuffer(transform=...)`, or its `inv` to a collector's `postproc`."
        )
