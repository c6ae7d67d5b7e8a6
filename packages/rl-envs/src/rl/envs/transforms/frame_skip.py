"""FrameSkipTransform: one decision for several steps of the env."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase

from rl.core.errors import RLError, SpecError
from rl.core.specs import Composite
from rl.core.transform import Transform

__all__ = ["FrameSkipTransform"]


class FrameSkipTransform(Transform):
    """Repeat each action `frame_skip` times and give the sum of the rewards.

    The repetition stops where an episode ends. The steps are taken in the env that comes before the
    transform: put it first, right after the env.

    Args:
        frame_skip: number of steps per action.

    Raises:
        SpecError: `frame_skip` is not positive.

    Example:
        >>> from rl.envs import GymEnv, TransformedEnv
        >>> env = TransformedEnv(GymEnv("CartPole-v1"), FrameSkipTransform(2))
        >>> env.rollout(1)["next", "reward"]
        tensor([[2.]])
    """

    batchable = False

    def __init__(self, frame_skip: int = 1) -> None:
        if frame_skip < 1:
            raise SpecError(f"`frame_skip` is {frame_skip}: give 1 or more.")
        super().__init__()
        self.frame_skip = frame_skip

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        parent = self.parent
        if parent is None:
            raise RLError(
                "`FrameSkipTransform` steps an env, and has none: add it to a `TransformedEnv`."
            )
        root = tensordict.copy()
        for _ in range(self.frame_skip - 1):
            over = _over(parent, next_tensordict)
            if over.all():
                break
            root = parent.step_mdp(root.set("next", next_tensordict))
            if over.any():
                root.set("_step", ~over)
            after = parent.step(root)["next"]
            for key in parent.reward_keys:
                after.set(key, next_tensordict[key] + after[key])
            root.pop("_step", None)
            root.pop("next", None)
            next_tensordict = after
        return next_tensordict

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs, with rewards as sums."""
        return output_spec

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Refuse: stored data cannot be stepped.

        Raises:
            RLError: always.
        """
        raise RLError("`FrameSkipTransform` steps an env: add it to a `TransformedEnv`.")


def _over(parent: object, next_tensordict: TensorDictBase) -> torch.Tensor:
    """Return `[*B]`: whether every done flag of a row is true."""
    flags = [
        next_tensordict[key].reshape(*next_tensordict.batch_size, -1).all(-1)
        for key in parent.done_keys
        if (key if isinstance(key, str) else key[-1]) == "done"
    ]
    return torch.stack(flags).all(0)
