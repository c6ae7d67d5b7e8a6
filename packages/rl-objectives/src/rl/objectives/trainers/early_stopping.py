"""The end of a run that no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rl.core.errors import RLError
from rl.objectives.trainers.hook_base import TrainerHookBase

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer


__all__ = ["EarlyStopping"]


class EarlyStopping(TrainerHookBase):
    """Stops the trainer when a metric has not improved for long.

    Args:
        monitor: name of a logged metric.
        mode: `"max"` where larger is better, `"min"` where smaller is.
        min_delta: what counts as an improvement.
        patience: frames without improvement that are tolerated.
        wait_for: frames at the start during which nothing is judged.
        check_finite: stop at once when the metric is not finite.

    Example:
        >>> class Loop:
        ...     metrics, collected_frames = {"r_evaluation": 1.0}, 0
        ...     def request_stop(self, reason):
        ...         print(reason)
        ...     def register_module(self, name, module): ...
        ...     def register_op(self, dest, op): ...
        >>> loop, hook = Loop(), EarlyStopping(patience=10, wait_for=0)
        >>> hook.register(loop); hook()
        >>> loop.collected_frames = 20; hook()
        `r_evaluation` has not improved on 1.0 for 20 frames.
    """

    def __init__(
        self,
        *,
        monitor: str = "r_evaluation",
        mode: str = "max",
        min_delta: float = 0.0,
        patience: int = 100_000,
        wait_for: int = 1_000_000,
        check_finite: bool = True,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f'`mode` is {mode!r}, expected "min" or "max".')
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta
        self.patience = patience
        self.wait_for = wait_for
        self.check_finite = check_finite
        self.best: float | None = None
        self._best_frames = 0
        self._trainer: Trainer | None = None

    def __call__(self) -> None:
        """Look at the metric, and ask for a stop where it is due.

        Raises:
            RLError: the hook is in no trainer.
        """
        trainer = self._trainer
        if trainer is None:
            raise RLError("`EarlyStopping` is in no trainer: call `hook.register(trainer)`.")
        value, frames = trainer.metrics.get(self.monitor), trainer.collected_frames
        if value is None or frames < self.wait_for:
            return
        value = float(value)
        if not math.isfinite(value):
            if self.check_finite:
                trainer.request_stop(f"`{self.monitor}` is {value}.")
            return
        gain = math.inf if self.best is None else value - self.best
        if self.mode == "min" and self.best is not None:
            gain = -gain
        if gain > self.min_delta:
            self.best, self._best_frames = value, frames
        elif frames - self._best_frames > self.patience:
            stale = frames - self._best_frames
            trainer.request_stop(
                f"`{self.monitor}` has not improved on {self.best} for {stale} frames."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and when it was."""
        return {"best": self.best, "best_frames": self._best_frames}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore them."""
        self.best = state_dict["best"]
        self._best_frames = state_dict["best_frames"]

    def register(self, trainer: Trainer, name: str = "early_stopping") -> None:
        """Look at the end of each batch of `trainer`."""
        self._trainer = trainer
        trainer.register_module(name, self)
        trainer.register_op("post_steps_log", self._after_batch)

    def _after_batch(self, batch: object) -> None:
        self()
