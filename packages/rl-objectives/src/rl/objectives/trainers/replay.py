"""A replay buffer in a training loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDictBase

from rl.objectives.trainers.hook_base import TrainerHookBase

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer

__all__ = ["ReplayBufferTrainer"]


class ReplayBufferTrainer(TrainerHookBase):
    """Stores what is collected, samples what is trained on, and updates priorities.

    Args:
        replay_buffer: anything with `extend` and `sample`.
        batch_size: of a sample; the buffer's own by default.
        device: where samples go.
        flatten_tensordicts: store single steps, those of `("collector", "mask")` where present,
            rather than the batch as it is.
        iterate: take samples by iterating over the buffer; the end of it ends the epoch.

    Example:
        >>> from tensordict import TensorDict
        >>> class Buffer(list):
        ...     def sample(self, batch_size=None):
        ...         return torch.stack(self[:batch_size])
        >>> hook = ReplayBufferTrainer(Buffer(), batch_size=3, flatten_tensordicts=True)
        >>> _ = hook.extend(TensorDict({"x": torch.zeros(2, 4)}, [2, 4]))
        >>> hook.sample(None).shape
        torch.Size([3])
    """

    def __init__(
        self,
        replay_buffer: Any,  # noqa: ANN401
        batch_size: int | None = None,
        device: torch.device | str | None = None,
        flatten_tensordicts: bool = False,
        iterate: bool = False,
    ) -> None:
        self.replay_buffer = replay_buffer
        self.batch_size = batch_size
        self.device = device
        self.flatten_tensordicts = flatten_tensordicts
        self.iterate = iterate
        self._iterator: Iterator[TensorDictBase] | None = None

    def extend(self, batch: TensorDictBase) -> TensorDictBase:
        """Store a batch, and return it."""
        stored = batch
        if self.flatten_tensordicts:
            mask = batch.get(("collector", "mask"), None)
            stored = batch.reshape(-1) if mask is None else batch[mask]
        self.replay_buffer.extend(stored)
        self._iterator = None
        return batch

    def sample(self, batch: TensorDictBase | None) -> TensorDictBase | None:
        """Return a sample; with `iterate`, `None` once at the end."""
        if not self.iterate:
            size = {} if self.batch_size is None else {"batch_size": self.batch_size}
            return self._moved(self.replay_buffer.sample(**size))
        if self._iterator is None:
            self._iterator = iter(self.replay_buffer)
        sample = next(self._iterator, None)
        if sample is None:
            self._iterator = None
        return None if sample is None else self._moved(sample)

    def update_priority(self, batch: TensorDictBase) -> None:
        """Hand the priorities that the loss wrote to the buffer, when it takes them."""
        update = getattr(self.replay_buffer, "update_tensordict_priority", None)
        if update is not None and batch.get("td_error", None) is not None:
            update(batch)

    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register at `batch_process`, `process_optim_batch` and `post_loss`."""
        trainer.register_op("batch_process", self.extend)
        trainer.register_op("process_optim_batch", self.sample)
        trainer.register_op("post_loss", self.update_priority)
        trainer.register_module(name or "replay_buffer", self)

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer's state, when it has one."""
        state = getattr(self.replay_buffer, "state_dict", None)
        return {} if state is None else {"replay_buffer": state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the buffer."""
        if "replay_buffer" in state_dict:
            self.replay_buffer.load_state_dict(state_dict["replay_buffer"])
        self._iterator = None

    def _moved(self, sample: TensorDictBase) -> TensorDictBase:
        return sample if self.device is None else sample.to(self.device)
