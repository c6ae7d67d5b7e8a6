"""From a sub-batch to moved parameters: optimizers as hooks, and the step around them."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from rl.core.errors import MissingKeyError, nearest
from rl.objectives.trainers.hook_base import TrainerHookBase

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer
    from rl.objectives.trainers.watchdog import Watchdog

__all__ = ["DefaultOptimizationStepper", "LRSchedulerHook", "OptimizationStepper", "OptimizerHook"]


class OptimizerHook(TrainerHookBase):
    """Minimises some of the losses with one optimizer.

    Args:
        optimizer: over the parameters that these losses move.
        loss_components: entries of the losses; those that start with `loss` by default.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor(1.0))
        >>> hook = OptimizerHook(torch.optim.SGD([weight], lr=0.5))
        >>> losses = hook(TensorDict({"loss_value": weight.square()}), True, None, 0)
        >>> weight.item(), losses["grad_norm_0"].item()
        (0.0, 2.0)
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, loss_components: Sequence[str] | None = None
    ) -> None:
        self.optimizer = optimizer
        self.loss_components = None if loss_components is None else list(loss_components)
        self.watchdog: Watchdog | None = None

    def __call__(
        self, losses: TensorDictBase, clip_grad_norm: bool, clip_norm: float | None, index: int
    ) -> TensorDict:
        """Move the parameters, and return the detached losses with the gradient's norm.

        Args:
            losses: of a loss module.
            clip_grad_norm: clip the norm of all gradients, rather than each element.
            clip_norm: where to clip; `None` does not.
            index: of this optimizer, which names the norm.
        """
        sum(self._components(losses)).backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = clip_gradients(parameters, clip_grad_norm, clip_norm)
        if self.watchdog is not None:
            self.watchdog.check_gradients(norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return losses.detach().set(f"grad_norm_{index}", norm)

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `optimizer`, and the optimizer's state."""
        self.watchdog = trainer.watchdog
        trainer.register_op("optimizer", self)
        trainer.register_module(name or f"optimizer_{len(trainer.hooks['optimizer']) - 1}", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the optimizer's state."""
        self.optimizer.load_state_dict(state_dict["optimizer"])

    def _components(self, losses: TensorDictBase) -> list[Tensor]:
        if self.loss_components is None:
            return [v for k, v in losses.items() if isinstance(k, str) and k.startswith("loss")]
        for key in self.loss_components:
            if key not in losses.keys(True):
                raise MissingKeyError(
                    f"The loss does not return `{key}`, which the optimizer minimises. "
                    + nearest(key, [str(k) for k in losses.keys(True)])
                )
        return [losses.get(key) for key in self.loss_components]


def clip_gradients(
    parameters: Iterable[Tensor], by_norm: bool = True, limit: float | None = None
) -> Tensor:
    """Clip gradients in place and return their norm before.

    Args:
        parameters: those without gradient are left out.
        by_norm: clip the norm of all, rather than each element.
        limit: `None` does not clip.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> clip_gradients([weight], limit=1.0), weight.grad
        (tensor(5.), tensor([0.6000, 0.8000]))
    """
    parameters = [p for p in parameters if p.grad is not None]
    if not parameters:
        return torch.zeros(())
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
    if limit is not None and by_norm:
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    elif limit is not None:
        torch.nn.utils.clip_grad_value_(parameters, limit)
    return norm


class OptimizationStepper(abc.ABC):
    """What a trainer does with one sub-batch; write `step` for delayed or several updates.

    Example:
        >>> class Dry(OptimizationStepper):
        ...     def step(self, trainer, sub_batch):
        ...         return trainer.loss_module(sub_batch).detach()
    """

    @abc.abstractmethod
    def step(self, trainer: Trainer, sub_batch: TensorDictBase) -> TensorDictBase:
        """Move the parameters once, and return detached scalars for the log."""


class DefaultOptimizationStepper(OptimizationStepper):
    """Loss, then the hooks `post_loss`, `process_loss` and `optimizer`.

    Args:
        loss_components: entries of the losses that the optimizers get, besides the metrics; all
            by default.

    Example:
        >>> DefaultOptimizationStepper(["loss_actor"]).loss_components
        ['loss_actor']
    """

    def __init__(self, loss_components: Sequence[str] | None = None) -> None:
        self.loss_components = None if loss_components is None else list(loss_components)

    def step(self, trainer: Trainer, sub_batch: TensorDictBase) -> TensorDictBase:
        """Move the parameters once, and return detached scalars for the log."""
        hooks = trainer.hooks
        losses = trainer.loss_module(sub_batch)
        sub_batch = hooks.chain("post_loss", sub_batch)
        losses = hooks.chain("process_loss", losses, sub_batch)
        if self.loss_components is not None:
            minimised = [key for key, _ in losses.items() if key.startswith("loss")]
            dropped = [key for key in minimised if key not in self.loss_components]
            losses = losses.exclude(*dropped)
        detached = losses.detach()
        for index, (op, kwargs) in enumerate(hooks["optimizer"]):
            detached.update(op(losses, trainer.clip_grad_norm, trainer.clip_norm, index, **kwargs))
        return detached


class LRSchedulerHook(TrainerHookBase):
    """Steps a scheduler of the learning rate.

    Args:
        scheduler: of torch.
        interval: `"batch"`, once per collected batch, or `"optim"`, once per step.

    Raises:
        ValueError: on another interval.

    Example:
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> LRSchedulerHook(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)).interval
        'batch'
    """

    def __init__(
        self, scheduler: torch.optim.lr_scheduler.LRScheduler, interval: str = "batch"
    ) -> None:
        if interval not in ("batch", "optim"):
            raise ValueError(f'`interval` is `{interval}`, expected "batch" or "optim".')
        self.scheduler = scheduler
        self.interval = interval
        self._trainer: Trainer | None = None
        self._seen = 0

    def __call__(self) -> None:
        """Step the scheduler, unless no optimisation step ran since the last call."""
        if self._trainer is not None:
            if self._trainer.optim_count == self._seen:
                return
            self._seen = self._trainer.optim_count
        self.scheduler.step()

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `post_steps` or `post_optim`."""
        self._trainer, self._seen = trainer, trainer.optim_count
        trainer.register_op("post_steps" if self.interval == "batch" else "post_optim", self)
        trainer.register_module(name or "lr_scheduler", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state."""
        return {"scheduler": self.scheduler.state_dict(), "seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the scheduler's state."""
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self._seen = state_dict["seen"]
