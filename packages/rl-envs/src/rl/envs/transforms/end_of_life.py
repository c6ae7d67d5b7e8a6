"""EndOfLifeTransform: the loss of a life in games with several."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import RLError
from rl.core.specs import Binary, Composite, Unbounded
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import put_leaf

__all__ = ["EndOfLifeTransform"]


class EndOfLifeTransform(Transform):
    """Signal the loss of a life; a loss module may take the signal for its done flag.

    Reads:
        done: `[*B, 1]` bool.
        lives: `[*B, 1]` int64, of the previous step.
    Writes:
        end-of-life: `[*B, 1]` bool, true where a life was lost or the episode is over.
        lives: `[*B, 1]` int64, lives left.

    Args:
        eol_key: key of the signal.
        lives_key: key of the number of lives.
        done_key: key of the done flag.
        eol_attribute: path of attributes of the env at which the lives are: a number, or a function
            without arguments.

    Raises:
        RLError: the env has no such attribute.

    Example:
        >>> EndOfLifeTransform().eol_key
        'end-of-life'
    """

    batchable = False

    def __init__(
        self,
        eol_key: NestedKey = "end-of-life",
        lives_key: NestedKey = "lives",
        done_key: NestedKey = "done",
        eol_attribute: str = "unwrapped.ale.lives",
    ) -> None:
        super().__init__()
        self.eol_key = unravel_key(eol_key)
        self.lives_key = unravel_key(lives_key)
        self.done_key = unravel_key(done_key)
        self.eol_attribute = eol_attribute

    def _lives(self, like: torch.Tensor) -> torch.Tensor:
        value: Any = self.parent
        if value is None:
            raise RLError(
                "`EndOfLifeTransform` asks an env for its lives, and has none: add it to a "
                "`TransformedEnv`."
            )
        for name in self.eol_attribute.split("."):
            try:
                value = getattr(value, name)
            except AttributeError as error:
                raise RLError(
                    f"The env has no `{self.eol_attribute}` ({error}): pass `eol_attribute=` with "
                    "the path at which it keeps its lives."
                ) from error
        if callable(value):
            value = value()
        return (
            torch.as_tensor(value, dtype=torch.int64, device=like.device).expand(like.shape).clone()
        )

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        done = next_tensordict[self.done_key]
        lives = self._lives(done)
        before = tensordict.get(self.lives_key, lives)
        next_tensordict.set(self.eol_key, (lives < before) | done)
        next_tensordict.set(self.lives_key, lives)
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        done = tensordict_reset[self.done_key]
        tensordict_reset.set(self.eol_key, torch.zeros_like(done))
        tensordict_reset.set(self.lives_key, self._lives(done))
        return tensordict_reset

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Add the signal and the lives to the observations."""
        done = output_spec["full_done_spec"][self.done_key]
        observations = output_spec["full_observation_spec"]
        flag = Binary(shape=done.shape, dtype=torch.bool, device=done.device)
        lives = Unbounded(shape=done.shape, dtype=torch.int64, device=done.device)
        put_leaf(observations, self.eol_key, flag, done.shape[:-1])
        put_leaf(observations, self.lives_key, lives, done.shape[:-1])
        output_spec["full_observation_spec"] = observations
        return output_spec
