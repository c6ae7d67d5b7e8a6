"""Stops a training that cannot recover: NaN, no signal, collapsed entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor

from rl.objectives.trainers.error import TrainingError
from rl.objectives.trainers.hook_base import TrainerHookBase

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer

__all__ = ["Watchdog"]

# A discrete policy below this entropy (nats) takes one action; no density stays this close to 0.
_ONE_ACTION = 1e-6


class Watchdog(TrainerHookBase):
    """Raises on non-finite losses and gradients, advantages of zero and collapsed entropy.

    The parameters are not moved by the step that raises, and the trainer is saved where it saves
    its checkpoints.

    Args:
        patience: steps in a row without signal that are borne.
        advantage_key: the advantage in the sub-batches; one of zeros teaches a policy nothing.
        min_entropy: nats; lower is a collapse. By default a collapse is a policy that takes one
            action, within 1e-6 of 0; `-math.inf` does not look.
        interval: steps from one check to the next. On an accelerator each check waits for it.

    Example:
        >>> from tensordict import TensorDict
        >>> watchdog = Watchdog()
        >>> losses = TensorDict({"loss_critic": torch.tensor(float("nan"))})
        >>> watchdog(TensorDict(), losses)
        Traceback (most recent call last):
        ...
        rl.objectives.trainers.error.TrainingError: Step 0: `loss_critic` is nan. ...
    """

    def __init__(
        self,
        *,
        patience: int = 20,
        advantage_key: NestedKey = "advantage",
        min_entropy: float | None = None,
        interval: int = 1,
    ) -> None:
        self.patience = patience
        self.advantage_key = advantage_key
        self.min_entropy = min_entropy
        self.interval = interval
        self._trainer: Trainer | None = None
        self._without_signal = 0
        self._collapsed = 0

    def __call__(self, sub_batch: TensorDictBase, losses: TensorDictBase) -> None:
        """Check the losses of a sub-batch.

        Raises:
            TrainingError: names what went wrong, and what to try.
        """
        if self._step % self.interval:
            return
        self._check_losses(losses)
        self._check_advantage(sub_batch)
        self._check_entropy(losses)

    def check_gradients(self, norm: Tensor) -> None:
        """Raise when the norm of the gradients is not finite."""
        if self._step % self.interval == 0 and not torch.isfinite(norm):
            self._stop(
                "grad_norm",
                f"the norm of the gradients is {norm.item()}",
                "Lower the learning rate or pass `clip_norm`; `torch.autograd.detect_anomaly()` "
                "finds the operation.",
            )

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `process_loss`."""
        self._trainer = trainer
        trainer.register_op("process_loss", self)
        trainer.register_module(name or "watchdog", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the steps in a row without signal."""
        return {"without_signal": self._without_signal, "collapsed": self._collapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the steps in a row without signal."""
        self._without_signal = state_dict["without_signal"]
        self._collapsed = state_dict["collapsed"]

    @property
    def _step(self) -> int:
        return 0 if self._trainer is None else self._trainer.optim_count

    def _check_losses(self, losses: TensorDictBase) -> None:
        minimised = {k: v for k, v in losses.items() if str(k).startswith("loss")}
        total = sum(value.detach().sum() for value in minimised.values())
        if not minimised or torch.isfinite(total):
            return
        for key, value in minimised.items():
            if not torch.isfinite(value).all():
                self._stop(
                    key,
                    f"`{key}` is {value.sum().item()}",
                    "Look for NaN or infinity in the batch, or lower the learning rate.",
                )

    def _check_advantage(self, sub_batch: TensorDictBase) -> None:
        advantage = sub_batch.get(self.advantage_key, None)
        if advantage is None:
            return
        self._without_signal = 0 if advantage.any() else self._without_signal + 1
        if self._without_signal > self.patience:
            self._stop(
                str(self.advantage_key),
                f"`{self.advantage_key}` is zero at every step of the last "
                f"{self._without_signal} batches",
                "The policy learns nothing: check that the reward varies.",
            )

    def _check_entropy(self, losses: TensorDictBase) -> None:
        entropy = losses.get("entropy", None)
        if entropy is None:
            return
        mean = entropy.detach().mean()
        is_low = mean.abs() < _ONE_ACTION if self.min_entropy is None else mean < self.min_entropy
        self._collapsed = self._collapsed + 1 if is_low else 0
        if self._collapsed > self.patience:
            self._stop(
                "entropy",
                f"`entropy` has been below {self.min_entropy or _ONE_ACTION}"
                f" for {self._collapsed} steps",
                "The policy has collapsed: raise `entropy_coeff`.",
            )

    def _stop(self, key: str, what: str, fix: str) -> NoReturn:
        saved = "" if self._trainer is None else self._trainer.save_for_inspection()
        raise TrainingError(f"Step {self._step}: {what}. {fix}{saved}", step=self._step, key=key)
