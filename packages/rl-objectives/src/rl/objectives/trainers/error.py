"""The error that stops a run which no longer learns."""

from __future__ import annotations

from rl.core.errors import RLError

__all__ = ["TrainingError"]


class TrainingError(RLError, RuntimeError):
    """A run went wrong, or cannot begin; `step` and `key` say where, when it was under way.

    Args:
        message: what is wrong and what to do.
        step: the optimisation step, counted from 1.
        key: the entry that is wrong.
    """

    def __init__(self, message: str, *, step: int | None = None, key: str | None = None) -> None:
        super().__init__(message)
        self.step = step
        self.key = key
