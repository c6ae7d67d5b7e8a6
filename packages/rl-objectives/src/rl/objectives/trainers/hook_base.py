"""The base of trainer hooks."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer

__all__ = ["TrainerHookBase"]


class TrainerHookBase(abc.ABC):
    """An operation of a trainer's loop that may hold a state.

    Subclasses write `register`, and `state_dict` with `load_state_dict` when they hold a state.

    Example:
        >>> class Shout(TrainerHookBase):
        ...     def register(self, trainer, name="shout"):
        ...         trainer.register_op("post_steps", self)
        ...     def __call__(self):
        ...         print("collected")
        >>> Shout()()
        collected
    """

    @abc.abstractmethod
    def register(self, trainer: Trainer, name: str | None = None) -> None:
        """Register the operations at their points of the loop, and the state under `name`."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state, empty by default."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: B027 (optional)
        """Take on a state that `state_dict` returned; ignored by default."""
