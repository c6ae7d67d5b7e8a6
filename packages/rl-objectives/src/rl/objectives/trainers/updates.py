"""Hooks that bring other things up to date: targets, collector, cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from rl.objectives.targets import TargetNetUpdater
from rl.objectives.trainers.hook_base import TrainerHookBase

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer

__all__ = ["ClearCudaCache", "TargetNetUpdaterHook", "UpdateWeights"]


class TargetNetUpdaterHook(TrainerHookBase):
    """Moves the target parameters after each optimisation step.

    Args:
        target_params_updater: such as `SoftUpdate(loss)`.

    Raises:
        TypeError: when it is no updater.

    Example:
        >>> from rl.objectives import DQNLoss, SoftUpdate
        >>> loss = DQNLoss(torch.nn.Linear(1, 2), action_space="one_hot", delay_value=True)
        >>> TargetNetUpdaterHook(SoftUpdate(loss, tau=0.1))()
    """

    def __init__(self, target_params_updater: TargetNetUpdater) -> None:
        if not isinstance(target_params_updater, TargetNetUpdater):
            raise TypeError(
                f"Expected a target updater, got {type(target_params_updater).__name__}: pass "
                "`SoftUpdate(loss, tau=0.005)` or `HardUpdate(loss)`."
            )
        self.target_params_updater = target_params_updater

    def __call__(self) -> None:
        """Move the targets."""
        self.target_params_updater.step()

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `post_optim`."""
        trainer.register_op("post_optim", self)
        trainer.register_module(name or "target_updater", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the updater's counter, where it has one."""
        return dict(self.target_params_updater.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the updater's counter."""
        self.target_params_updater.load_state_dict(state_dict)


class UpdateWeights(TrainerHookBase):
    """Hands the policy's weights to the collector every few batches.

    Args:
        collector: anything with `update_policy_weights_`.
        update_weights_interval: batches from one hand-over to the next.
        policy_weights_getter: returns the weights; by default the collector asks its own policy.

    Example:
        >>> class Collector:
        ...     def update_policy_weights_(self, weights=None):
        ...         print("updated")
        >>> hook = UpdateWeights(Collector(), 2)
        >>> hook()
        >>> hook()
        updated
    """

    def __init__(
        self,
        collector: Any,  # noqa: ANN401
        update_weights_interval: int = 1,
        policy_weights_getter: Callable[[], Any] | None = None,
    ) -> None:
        self.collector = collector
        self.update_weights_interval = update_weights_interval
        self.policy_weights_getter = policy_weights_getter
        self.counter = 0

    def __call__(self) -> None:
        """Count a batch, and hand the weights over when it is time."""
        self.counter += 1
        if self.counter % self.update_weights_interval:
            return
        if self.policy_weights_getter is None:
            self.collector.update_policy_weights_()
        else:
            self.collector.update_policy_weights_(self.policy_weights_getter())

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `post_steps`."""
        trainer.register_op("post_steps", self)
        trainer.register_module(name or "update_weights", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of batches."""
        return {"counter": self.counter}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of batches."""
        self.counter = state_dict["counter"]


class ClearCudaCache(TrainerHookBase):
    """Empties torch's cache of device memory every few calls.

    Args:
        interval: calls from one to the next.

    Example:
        >>> ClearCudaCache(100)()
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.count = 0

    def __call__(self) -> None:
        """Count a call, and empty the cache when it is time."""
        self.count += 1
        if self.count % self.interval == 0:
            torch.cuda.empty_cache()

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `pre_optim_steps`."""
        trainer.register_op("pre_optim_steps", self)
