"""The training loop: data from an iterable, losses, optimizers, and hooks at every point."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase

from rl.core.checkpoint import Checkpoint, GlobalRNGState
from rl.core.errors import RLError
from rl.core.loggers import Logger
from rl.core.runs import Reporter
from rl.core.seeding import set_seed_everywhere
from rl.objectives.losses.base import LossModule
from rl.objectives.targets import TargetNetUpdater
from rl.objectives.trainers.batches import mask_batch
from rl.objectives.trainers.error import TrainingError
from rl.objectives.trainers.hooks import Hooks
from rl.objectives.trainers.optimization import (
    DefaultOptimizationStepper,
    OptimizationStepper,
    OptimizerHook,
)
from rl.objectives.trainers.updates import TargetNetUpdaterHook
from rl.objectives.trainers.watchdog import Watchdog

__all__ = ["Trainer"]


class Trainer:
    """Drives an iterable of TensorDicts through a loss, optimizers and hooks.

    Each batch passes through `batch_process`, then `num_epochs` times `optim_steps_per_batch`
    steps on what `process_optim_batch` makes of it. `rl.objectives.trainers.hooks.POINTS` lists
    the points and how operations are called there.

    Everything that `state_dict` holds (the loss, optimizers, hooks with a state, collector,
    random generators, counters) is restored by `load_from_file`, after which `train` goes on as
    if it had not stopped.

    Args:
        collector: gives batches `[*B, T]`; `state_dict`, `set_seed` and `shutdown` are used
            where it has them.
        total_frames: frames of the whole training.
        frame_skip: frames per step of the environment.
        optim_steps_per_batch: steps per epoch; `None` goes on until `process_optim_batch` gives
            `None`.
        loss_module: the loss.
        optimizer: over all its parameters; or register `OptimizerHook`s.
        optimization_stepper: what is done with a sub-batch, `DefaultOptimizationStepper` by
            default.
        target_net_updater: moves the targets after each step.
        logger: gets every metric.
        clip_grad_norm: clip the norm of all gradients, rather than each element.
        clip_norm: where to clip; `None` does not.
        progress_bar: shows frames and metrics; `rl.core.runs.Reporter`.
        seed: of torch, numpy, python and the collector.
        save_trainer_interval: frames from one checkpoint to the next.
        log_interval: frames from one number of a metric to the next in the logger.
        save_trainer_file: folder of the checkpoint; `None` saves none.
        num_epochs: epochs per batch.
        auto_log_optim_steps: log the mean losses of each batch.
        watchdog: stops a training that cannot recover; `False` does not look.

    Raises:
        RLError: the loss has target parameters and no updater was built for them.

    Example:
        >>> from rl.core.modules import QValueActor
        >>> from rl.core.specs import OneHot
        >>> from rl.objectives import DQNLoss, SoftUpdate
        >>> actor = QValueActor(torch.nn.Linear(3, 2), in_keys=["observation"], spec=OneHot(2))
        >>> loss = DQNLoss(actor)
        >>> def batches():
        ...     while True:
        ...         flag = torch.zeros(8, 1, dtype=torch.bool)
        ...         step = {"observation": torch.randn(8, 3), "reward": torch.ones(8, 1)}
        ...         step |= {"done": flag, "terminated": flag}
        ...         root = {"observation": torch.randn(8, 3), "action": torch.eye(2).repeat(4, 1)}
        ...         yield TensorDict({**root, "next": step}, [8])
        >>> trainer = Trainer(
        ...     collector=batches(),
        ...     total_frames=24,
        ...     optim_steps_per_batch=2,
        ...     loss_module=loss,
        ...     optimizer=torch.optim.Adam(loss.parameters()),
        ...     target_net_updater=SoftUpdate(loss, tau=0.1),
        ... )
        >>> trainer.train()
        >>> trainer.collected_frames, trainer.optim_count
        (24, 6)
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        collector: Iterable[TensorDictBase],
        total_frames: int,
        frame_skip: int = 1,
        optim_steps_per_batch: int | None,
        loss_module: LossModule | Callable[[TensorDictBase], TensorDictBase],
        optimizer: torch.optim.Optimizer | None = None,
        optimization_stepper: OptimizationStepper | None = None,
        target_net_updater: TargetNetUpdater | None = None,
        logger: Logger | None = None,
        clip_grad_norm: bool = True,
        clip_norm: float | None = None,
        progress_bar: Reporter | None = None,
        seed: int | None = None,
        save_trainer_interval: int = 10_000,
        log_interval: int = 10_000,
        save_trainer_file: str | os.PathLike[str] | None = None,
        num_epochs: int = 1,
        auto_log_optim_steps: bool = True,
        watchdog: Watchdog | bool = True,
    ) -> None:
        self.collector = collector
        self.total_frames = total_frames
        self.frame_skip = frame_skip
        self.optim_steps_per_batch = optim_steps_per_batch
        self.loss_module = loss_module
        self.optimizer = optimizer
        self.optimization_stepper = optimization_stepper or DefaultOptimizationStepper()
        self.logger = logger
        self.clip_grad_norm = clip_grad_norm
        self.clip_norm = clip_norm
        self.progress_bar = progress_bar
        self.save_trainer_interval = save_trainer_interval
        self.log_interval = log_interval
        self.save_trainer_file = save_trainer_file
        self.num_epochs = num_epochs
        self.auto_log_optim_steps = auto_log_optim_steps

        self.collected_frames = 0
        self.optim_count = 0
        self.metrics: dict[str, float] = {}
        self.stop_reason: str | None = None
        self.hooks = Hooks()
        self._modules: dict[str, Any] = {}
        self._saved_at = 0
        self._logged_at: dict[str, int] = {}
        self._shown: dict[str, float] = {}
        if target_net_updater is None:
            self._check_targets()

        self.watchdog = Watchdog() if watchdog is True else (watchdog or None)
        if self.watchdog is not None:
            self.watchdog.register(self)
        if optimizer is not None:
            OptimizerHook(optimizer).register(self, "optimizer")
        if target_net_updater is not None:
            TargetNetUpdaterHook(target_net_updater).register(self)
        if seed is not None:
            self.set_seed(seed)

    # --------------------------------------------------------------------- hooks

    def register_op(self, dest: str, op: Callable, **kwargs: Any) -> None:
        """Call `op` at point `dest` of the loop, with `kwargs` too; see `hooks.POINTS`.

        Raises:
            NotRegisteredError: for an unknown point.
        """
        self.hooks.add(dest, op, **kwargs)

    def register_hook(self, hook: Any, name: str | None = None) -> None:  # noqa: ANN401
        """Let a hook register itself."""
        hook.register(self) if name is None else hook.register(self, name)

    def register_module(self, module_name: str, module: Any) -> None:  # noqa: ANN401
        """Save and restore `module` with the trainer.

        Raises:
            ValueError: when another one has this name.
        """
        if self._modules.get(module_name, module) is not module:
            raise ValueError(
                f"The trainer already saves a module named `{module_name}`: give this one another "
                "name (`hook.register(trainer, name)`)."
            )
        self._modules[module_name] = module

    # ---------------------------------------------------------------------- loop

    def train(self) -> None:
        """Train until `total_frames` are collected, the collector ends, or a hook says stop.

        Raises:
            TrainingError: the parts cannot train, or the watchdog found that they no longer do.
        """
        self._check_parts()
        self.hooks.run("setup")
        if self.progress_bar is not None:
            self.progress_bar.start(self.collected_frames)
        try:
            if self.collected_frames < self.total_frames:
                self._loop()
                self.save_trainer()
        finally:
            self._close()

    def optim_steps(self, batch: TensorDictBase) -> None:
        """Run the epochs on one batch."""
        self.hooks.run("pre_optim_steps")
        totals: TensorDict | None = None
        count = 0
        for _ in range(self.num_epochs):
            data = self.hooks.chain("pre_epoch", batch)
            self._log_point("pre_epoch_log", data)
            for losses in self._epoch(data):
                totals = losses if totals is None else totals.add_(losses)
                count += 1
            self.hooks.run("post_epoch")
            self._log_point("post_epoch_log", data)
        if totals is None:
            return
        means = totals.div_(count)
        if self.auto_log_optim_steps:
            numbers = {str(k): v for k, v in means.items() if v.numel() == 1}
            self._log({"optim_steps": self.optim_count, **numbers})
        self._log_point("post_optim_complete_log", means)

    def request_stop(self, reason: str = "a hook asked for it") -> None:
        """Stop after this batch."""
        self.stop_reason = reason

    def set_seed(self, seed: int) -> None:
        """Seed torch, numpy, python and the collector."""
        set_seed_everywhere(seed)
        if hasattr(self.collector, "set_seed"):
            self.collector.set_seed(seed)

    def shutdown(self) -> None:
        """Shut the collector down, where it can be."""
        if hasattr(self.collector, "shutdown"):
            self.collector.shutdown()

    def _loop(self) -> None:
        for batch in self.collector:
            self.collected_frames += mask_batch(batch).numel() * self.frame_skip
            batch = self.hooks.chain("batch_process", batch)
            self._log_point("pre_steps_log", batch)
            if self.collected_frames >= getattr(self.collector, "init_random_frames", 0):
                self.optim_steps(batch)
            self.hooks.run("post_steps")
            self._log_point("post_steps_log", batch)
            if self.progress_bar is not None:
                self.progress_bar.update(self.collected_frames, self._shown)
            if self.collected_frames >= self.total_frames or self.stop_reason is not None:
                break
            if self.collected_frames - self._saved_at >= self.save_trainer_interval:
                self.save_trainer()

    def _epoch(self, data: TensorDictBase) -> Iterator[TensorDict]:
        steps = 0
        while self.optim_steps_per_batch is None or steps < self.optim_steps_per_batch:
            sub_batch = self._sub_batch(data)
            if sub_batch is None:
                return
            losses = self.optimization_stepper.step(self, sub_batch)
            self.optim_count += 1
            steps += 1
            self.hooks.run("post_optim")
            self._log_point("post_optim_log", sub_batch)
            yield losses

    def _sub_batch(self, data: TensorDictBase) -> TensorDictBase | None:
        for op, kwargs in self.hooks["process_optim_batch"]:
            data = op(data, **kwargs)
            if data is None:
                return None
        return data

    def _check_parts(self) -> None:
        is_default = isinstance(self.optimization_stepper, DefaultOptimizationStepper)
        if is_default and not self.hooks["optimizer"]:
            raise TrainingError(
                "Nothing trains: pass `optimizer=` to the trainer, or register an `OptimizerHook`."
            )
        has_targets = getattr(self.loss_module, "has_target_params", False)
        if is_default and has_targets and not self.hooks["post_optim"]:
            raise TrainingError(
                f"{type(self.loss_module).__name__} has target parameters that no hook moves: pass "
                "`target_net_updater=SoftUpdate(loss, tau=0.005)` to the trainer."
            )
        if self.optim_steps_per_batch is None and not self.hooks["process_optim_batch"]:
            raise TrainingError(
                "`optim_steps_per_batch=None` needs batches that end: register "
                "`ReplayBufferTrainer(buffer, iterate=True)`, or pass a number of steps."
            )

    def _check_targets(self) -> None:
        loss = self.loss_module
        if getattr(loss, "has_target_params", False) and loss.target_updater_required:
            raise RLError(
                f"{type(loss).__name__} has target parameters and nothing moves them: pass "
                "`target_net_updater=SoftUpdate(loss, tau=0.005)` to the trainer (`HardUpdate` "
                "copies them now and then), or set `loss.target_updater_required = False`."
            )

    def _close(self) -> None:
        self.hooks.run("shutdown")
        if self.progress_bar is not None:
            self.progress_bar.close()
        self.shutdown()

    # ----------------------------------------------------------------------- log

    def _log_point(self, point: str, data: TensorDictBase | None) -> None:
        for op, kwargs in self.hooks[point]:
            metrics = op(data, **kwargs)
            if metrics:
                self._log(dict(metrics))

    def _log(self, metrics: dict[str, Any]) -> None:
        show = metrics.pop("log_pbar", False)
        for name, value in metrics.items():
            last = self._logged_at.get(name)
            is_due = last is None or self.collected_frames - last >= self.log_interval
            if not is_due and not show and self.logger is not None:
                continue
            number = float(value)
            self.metrics[name] = number
            if show:
                self._shown[name] = number
            if is_due:
                self._logged_at[name] = self.collected_frames
                if self.logger is not None:
                    self.logger.log_scalar(name, number, step=self.collected_frames)

    # --------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """Return everything that training needs to go on as if it had not stopped."""
        state: dict[str, Any] = {
            "collected_frames": self.collected_frames,
            "optim_count": self.optim_count,
            "metrics": dict(self.metrics),
            "logged_at": dict(self._logged_at),
            "saved_at": self._saved_at,
            "modules": {name: dict(m.state_dict()) for name, m in self._modules.items()},
            "rng": GlobalRNGState().state_dict(),
        }
        for name in ("loss_module", "collector"):
            part = getattr(self, name)
            if hasattr(part, "state_dict"):
                state[name] = dict(part.state_dict())
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take on a state that `state_dict` returned.

        Raises:
            RLError: when other hooks are registered here than were saved.
        """
        saved, here = set(state_dict["modules"]), set(self._modules)
        if saved != here:
            raise RLError(
                f"The trainer saved {sorted(saved)} and has {sorted(here)}: register the same "
                "hooks under the same names before loading."
            )
        self.collected_frames = state_dict["collected_frames"]
        self.optim_count = state_dict["optim_count"]
        self.metrics = dict(state_dict["metrics"])
        self._logged_at = dict(state_dict["logged_at"])
        self._saved_at = state_dict["saved_at"]
        for name in ("loss_module", "collector"):
            if name in state_dict:
                getattr(self, name).load_state_dict(state_dict[name])
        for name, module in self._modules.items():
            module.load_state_dict(state_dict["modules"][name])
        GlobalRNGState().load_state_dict(state_dict["rng"])

    def save_trainer(self, force_save: bool = False) -> None:
        """Save to `save_trainer_file`, atomically, when one was given.

        Raises:
            ValueError: with `force_save` and without a file.
        """
        if self.save_trainer_file is None:
            if force_save:
                raise ValueError("There is no file to save to: pass `save_trainer_file`.")
            return
        self._saved_at = self.collected_frames
        Checkpoint(trainer=self).save(self.save_trainer_file)

    def load_from_file(self, file: str | os.PathLike[str]) -> Trainer:
        """Restore what `save_trainer` wrote, and return the trainer.

        Raises:
            CheckpointError: the files are damaged or belong to another trainer.
        """
        Checkpoint(trainer=self).load(file)
        return self

    def save_for_inspection(self) -> str:
        """Save beside `save_trainer_file`, and return the sentence that says where."""
        if self.save_trainer_file is None:
            return ""
        path = f"{os.fspath(self.save_trainer_file)}-stopped"
        Checkpoint(trainer=self).save(path)
        return f" The trainer is saved in `{path}`."
