"""Wall times in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rl.core import timeit
from rl.objectives.trainers.hook_base import TrainerHookBase

if TYPE_CHECKING:
    from rl.objectives.trainers.trainer import Trainer


__all__ = ["LogTiming"]


class LogTiming(TrainerHookBase):
    """Logs what `timeit` measured, in seconds; the trainer measures `trainer/collect` and others.

    Args:
        prefix: begins the names.
        percall: the mean over calls; the sum otherwise.
        erase: forget the labels after each logging.

    Example:
        >>> timeit.erase()
        >>> with timeit("learn"):
        ...     pass
        >>> list(LogTiming()(None))
        ['time/learn']
    """

    def __init__(self, prefix: str = "time", percall: bool = True, erase: bool = False) -> None:
        self.prefix = prefix
        self.percall = percall
        self.erase = erase

    def __call__(self, batch: object = None) -> dict[str, Any]:
        """Return the times."""
        times = timeit.todict(percall=self.percall, prefix=self.prefix)
        if self.erase:
            timeit.erase()
        return times

    def register(self, trainer: Trainer, name: str = "log_timing") -> None:
        """Log after the optimisation of each batch of `trainer`."""
        trainer.register_module(name, self)
        trainer.register_op("post_steps_log", self)
