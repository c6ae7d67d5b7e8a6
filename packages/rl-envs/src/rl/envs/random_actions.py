"""Random actions, drawn for many steps at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tensordict import TensorDictBase
from torch import Tensor

from rl.core import Choice, NonTensor, Stacked, TensorSpec

if TYPE_CHECKING:
    from rl.envs.base import EnvBase

__all__ = ["RandomActions"]

#: the most steps for which actions are drawn in one go
BLOCK = 128


class RandomActions:
    """A policy that acts at random and asks the generator once per block of steps.

    Specs whose domain may change from step to step, as those with a mask, are drawn step by step.

    Args:
        env: the env to act in.
        steps: how many steps are taken at most; no more actions than that are drawn.

    Example:
        >>> from rl.envs.testing import CountingEnv
        >>> env = CountingEnv()
        >>> RandomActions(env, 3)(env.reset())["action"].sum()
        tensor(1)
    """

    def __init__(self, env: EnvBase, steps: int) -> None:
        self._env = env
        self._left = steps
        self._rows: Iterator[tuple[Tensor, ...]] = iter(())

    def __call__(self, root: TensorDictBase) -> TensorDictBase:
        """Write random actions into `root`."""
        row = next(self._rows, None)
        if row is None:
            specs = self._env.keys_plan.action_specs
            if not self._env.batch_locked or not all(_is_fixed(spec) for _, spec in specs):
                return self._env.rand_action(root)
            row = self._refill(specs)
        for (key, _), action in zip(self._env.keys_plan.action_specs, row, strict=True):
            root.set(key, action)
        return root

    def _refill(self, specs: list) -> tuple[Tensor, ...]:
        steps = max(1, min(BLOCK, self._left))
        self._left -= steps
        self._rows = zip(*(spec.rand((steps,)).unbind(0) for _, spec in specs), strict=True)
        return next(self._rows)


def _is_fixed(spec: TensorSpec) -> bool:
    return getattr(spec, "mask", None) is None and not isinstance(
        spec, (Stacked, NonTensor, Choice)
    )
