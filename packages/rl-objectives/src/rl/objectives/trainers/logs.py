"""Hooks that log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from tensordict import NestedKey, TensorDictBase
from tensordict.nn import InteractionType, set_interaction_type

from rl.core.errors import MissingKeyError
from rl.objectives.trainers.batches import mask_batch
from rl.objectives.trainers.hook_base import TrainerHookBase

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer

__all__ = ["CountFramesLog", "LogScalar", "LogValidationReward"]

_REDUCTIONS = {"mean": torch.mean, "sum": torch.sum, "min": torch.min, "max": torch.max}


class LogScalar(TrainerHookBase):
    """Logs an entry of each collected batch, over its valid steps.

    Args:
        key: the entry.
        logname: its name in the log; the key by default.
        log_pbar: also show it on the progress bar.
        include_std: also log the standard deviation, as `<logname>_std`.
        reduction: `"mean"`, `"sum"`, `"min"` or `"max"`.

    Raises:
        ValueError: on another reduction.

    Example:
        >>> from tensordict import TensorDict
        >>> batch = TensorDict({"next": {"reward": torch.tensor([[1.0], [3.0]])}}, [2])
        >>> LogScalar(logname="r", include_std=False)(batch)
        {'r': 2.0, 'log_pbar': False}
    """

    def __init__(
        self,
        key: NestedKey = ("next", "reward"),
        logname: str | None = None,
        log_pbar: bool = False,
        include_std: bool = True,
        reduction: str = "mean",
    ) -> None:
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"`reduction` is `{reduction}`, expected one of {', '.join(_REDUCTIONS)}."
            )
        self.key = key
        self.logname = logname or (key if isinstance(key, str) else "_".join(key))
        self.log_pbar = log_pbar
        self.include_std = include_std
        self.reduction = reduction

    def __call__(self, batch: TensorDictBase) -> dict[str, Any]:
        """Return the numbers of a batch."""
        found = mask_batch(batch).get(self.key, None)
        if found is None:
            raise MissingKeyError(
                f"`LogScalar` reads `{self.key}`, which is not in the batch: name another entry."
            )
        values = found.detach().float()
        numbers = {self.logname: _REDUCTIONS[self.reduction](values).item()}
        if self.include_std and values.numel() > 1:
            numbers[f"{self.logname}_std"] = values.std().item()
        return {**numbers, "log_pbar": self.log_pbar}

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `pre_steps_log`."""
        trainer.register_op("pre_steps_log", self)


class CountFramesLog(TrainerHookBase):
    """Counts and logs the frames of the environment.

    Args:
        frame_skip: frames per step.
        log_pbar: also show the count on the progress bar.

    Example:
        >>> from tensordict import TensorDict
        >>> CountFramesLog(frame_skip=4)(TensorDict(batch_size=[2, 5]))
        {'n_frames': 40, 'log_pbar': False}
    """

    def __init__(self, frame_skip: int = 1, log_pbar: bool = False) -> None:
        self.frame_skip = frame_skip
        self.log_pbar = log_pbar
        self.frame_count = 0

    def __call__(self, batch: TensorDictBase) -> dict[str, Any]:
        """Return the count with this batch."""
        self.frame_count += mask_batch(batch).numel() * self.frame_skip
        return {"n_frames": self.frame_count, "log_pbar": self.log_pbar}

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `pre_steps_log`."""
        trainer.register_op("pre_steps_log", self)
        trainer.register_module(name or "count_frames", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the count."""
        return {"frame_count": self.frame_count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count."""
        self.frame_count = state_dict["frame_count"]


class LogValidationReward(TrainerHookBase):
    """Evaluates the policy now and then.

    Args:
        record_interval: collected batches from one evaluation to the next.
        record_frames: steps of an evaluation.
        frame_skip: frames per step, by which rewards are divided.
        policy_exploration: the policy.
        environment: where it is evaluated; it has `rollout(max_steps=, policy=, ...)`.
        exploration_type: how actions are chosen; the deterministic one by default.
        log_keys: entries of the rollout; `("next", "reward")` by default.
        out_keys: their names in the log; `r_evaluation` for the reward by default.
        log_pbar: also show them on the progress bar.

    Example:
        >>> from tensordict import TensorDict
        >>> class Env:
        ...     def rollout(self, max_steps, policy, **kwargs):
        ...         return TensorDict({"next": {"reward": torch.ones(max_steps, 1)}}, [max_steps])
        >>> record = LogValidationReward(
        ...     record_interval=2, record_frames=5, policy_exploration=None, environment=Env()
        ... )
        >>> record(None), record(None)
        ({'r_evaluation': 1.0, 'total_r_evaluation': 5.0, 'log_pbar': False}, None)
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        record_interval: int,
        record_frames: int,
        frame_skip: int = 1,
        policy_exploration: Any,  # noqa: ANN401
        environment: Any,  # noqa: ANN401
        exploration_type: InteractionType = InteractionType.DETERMINISTIC,
        log_keys: Sequence[NestedKey] | None = None,
        out_keys: Mapping[NestedKey, str] | None = None,
        log_pbar: bool = False,
    ) -> None:
        self.record_interval = record_interval
        self.record_frames = record_frames
        self.frame_skip = frame_skip
        self.policy = policy_exploration
        self.environment = environment
        self.exploration_type = exploration_type
        self.log_keys = [("next", "reward")] if log_keys is None else list(log_keys)
        self.out_keys = {("next", "reward"): "r_evaluation", **(out_keys or {})}
        self.log_pbar = log_pbar
        self._calls = 0

    @torch.no_grad()
    def __call__(self, batch: TensorDictBase | None) -> dict[str, Any] | None:
        """Return the numbers of an evaluation when one is due."""
        self._calls += 1
        if (self._calls - 1) % self.record_interval:
            return None
        with set_interaction_type(self.exploration_type):
            steps = self.environment.rollout(
                max_steps=self.record_frames, policy=self.policy, break_when_any_done=False
            )
        numbers: dict[str, Any] = {}
        for key in self.log_keys:
            name = self.out_keys.get(key, key if isinstance(key, str) else "_".join(key))
            value = steps.get(key).float()
            if key == ("next", "reward"):
                numbers[name] = value.mean().item() / self.frame_skip
                total = value.sum(steps.ndim - 1).mean().item() / self.frame_skip
                numbers[f"total_{name}"] = total
            else:
                numbers[name] = value.mean().item()
        return {**numbers, "log_pbar": self.log_pbar}

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `post_steps_log`."""
        trainer.register_op("post_steps_log", self)
        trainer.register_module(name or "recorder", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of calls."""
        return {"calls": self._calls}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of calls."""
        self._calls = state_dict["calls"]
