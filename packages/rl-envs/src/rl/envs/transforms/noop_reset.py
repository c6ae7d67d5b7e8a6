"""NoopResetEnv: a random number of random steps after each reset."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDictBase

from rl.core.errors import RLError, SpecError
from rl.core.specs import Composite
from rl.core.transform import Compose, Transform
from rl.envs.transforms.flag_groups import batch_mask, find_mask

__all__ = ["NoopResetEnv"]

TRIALS = 10


class NoopResetEnv(Transform):
    """Take up to `noops` random steps after each reset: episodes start from different states.

    All envs of a batch that are reset together take the same number of steps. An episode that ends
    during these steps is started again, and the count with it. The steps are taken in the env that
    comes before
    the transform: put it first, right after the env.

    Args:
        noops: the largest number of steps.
        random: draw the number from 1 to `noops` (torch's generator); otherwise it is `noops`.

    Raises:
        SpecError: `noops` is negative.

    Example:
        >>> from rl.envs import GymEnv, StepCounter, TransformedEnv
        >>> env = TransformedEnv(GymEnv("CartPole-v1"), Compose(NoopResetEnv(5), StepCounter()))
        >>> env.reset()["step_count"]
        tensor([0])
    """

    batchable = False

    def __init__(self, noops: int = 30, random: bool = True) -> None:
        if noops < 0:
            raise SpecError(f"`noops` is {noops}: give 0 or more.")
        super().__init__()
        self.noops = noops
        self.random = random

    def _draw(self) -> int:
        if not self.random or self.noops == 0:
            return self.noops
        return int(torch.randint(1, self.noops + 1, ()))

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        parent = self.parent
        if parent is None:
            raise RLError(
                "`NoopResetEnv` steps an env, and has none: add it to a `TransformedEnv`."
            )
        mask = find_mask(tensordict)
        if mask is not None:
            mask = batch_mask(mask, tensordict_reset.batch_size)
        for _ in range(TRIALS):
            result = self._steps(parent, tensordict_reset, mask)
            if result is not None:
                return result
            tensordict_reset = self._again(parent, tensordict_reset, mask)
        raise RLError(
            f"The episode ended within {self.noops} random steps in {TRIALS} trials: lower `noops`."
        )

    def _steps(
        self,
        parent: Any,  # noqa: ANN401 (an env)
        root: TensorDictBase,
        mask: torch.Tensor | None,
    ) -> TensorDictBase | None:
        """Return the root after the random steps, or None if an episode ended on the way."""
        root = root.copy()
        for _ in range(self._draw()):
            parent.rand_action(root)
            if mask is not None and root.ndim:
                root.set("_step", mask)
            root = parent.step_mdp(parent.step(root))
            root.pop("_step", None)
            if self._ended(parent, root, mask):
                return None
        return root.exclude(*parent.action_keys)

    @staticmethod
    def _ended(parent: Any, root: TensorDictBase, mask: torch.Tensor | None) -> bool:  # noqa: ANN401
        for key in parent.done_keys:
            done = root[key]
            if mask is not None:
                done = batch_mask(done, root.batch_size) & mask
            if done.any():
                return True
        return False

    @staticmethod
    def _again(
        parent: Any,  # noqa: ANN401 (an env)
        root: TensorDictBase,
        mask: torch.Tensor | None,
    ) -> TensorDictBase:
        if mask is None or not root.ndim:
            return parent.reset()
        return parent.reset(root.copy().set("_reset", mask.unsqueeze(-1)))

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs as they are.

        Raises:
            RLError: a transform that remembers the episode comes before this one.
        """
        holder = self.container
        before = list(holder)[: _position(holder, self)] if isinstance(holder, Compose) else []
        for transform in before:
            if not transform.batchable:
                raise RLError(
                    f"`{type(transform).__name__}` comes before `NoopResetEnv` and would miss its "
                    "steps: put `NoopResetEnv` first, `env.insert_transform(0, NoopResetEnv())`."
                )
        return output_spec

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the TensorDict as it is: only resets matter."""
        return tensordict


def _position(chain: Compose, transform: Transform) -> int:
    return next(i for i, other in enumerate(chain) if other is transform)
