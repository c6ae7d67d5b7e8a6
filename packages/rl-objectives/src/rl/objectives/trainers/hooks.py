"""The points of a training loop at which operations are hooked, and how each is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rl.core.errors import NotRegisteredError, nearest

__all__ = ["POINTS", "Hooks"]

#: Each point, and what its operations get and return.
POINTS = {
    "setup": "() at the start of training",
    "batch_process": "(batch) -> batch, once per collected batch",
    "pre_steps_log": "(batch) -> metrics, before the optimisation steps",
    "pre_optim_steps": "() before the optimisation steps",
    "pre_epoch": "(batch) -> batch, before each epoch",
    "pre_epoch_log": "(batch) -> metrics",
    "process_optim_batch": "(batch) -> sub-batch, before each step; None ends the epoch",
    "post_loss": "(sub-batch) -> sub-batch, after the loss",
    "process_loss": "(sub-batch, losses) -> losses, before the backward pass",
    "optimizer": "(losses, clip_grad_norm, clip_norm, index) -> detached losses",
    "post_optim": "() after each step",
    "post_optim_log": "(sub-batch) -> metrics",
    "post_epoch": "() after each epoch",
    "post_epoch_log": "(batch) -> metrics",
    "post_optim_complete_log": "(losses) -> metrics, after all steps, with mean losses",
    "post_steps": "() after the optimisation steps",
    "post_steps_log": "(batch) -> metrics",
    "shutdown": "() at the end of training",
}


class Hooks:
    """Operations by point, in the order in which they were registered.

    Example:
        >>> hooks = Hooks()
        >>> hooks.add("batch_process", lambda batch: batch + 1)
        >>> hooks.add("batch_process", lambda batch, by: batch * by, by=3)
        >>> hooks.chain("batch_process", 1)
        6
    """

    def __init__(self) -> None:
        self._ops: dict[str, list[tuple[Callable, dict[str, Any]]]] = {p: [] for p in POINTS}

    def add(self, point: str, op: Callable, **kwargs: Any) -> None:
        """Register `op` at `point`; it is called with `kwargs` too.

        Raises:
            NotRegisteredError: for an unknown point.
            TypeError: when `op` cannot be called.
        """
        if point not in self._ops:
            raise NotRegisteredError(
                f"`{point}` is no point of the training loop. {nearest(point, POINTS)}"
            )
        if not callable(op):
            raise TypeError(
                f"An operation at `{point}` must be callable {POINTS[point]}, got "
                f"{type(op).__name__}."
            )
        self._ops[point].append((op, kwargs))

    def __getitem__(self, point: str) -> list[tuple[Callable, dict[str, Any]]]:
        return self._ops[point]

    def run(self, point: str) -> None:
        """Call the operations at `point`."""
        for op, kwargs in self._ops[point]:
            op(**kwargs)

    def chain(self, point: str, value: Any, *before: Any) -> Any:  # noqa: ANN401
        """Pass `value` through the operations at `point`; `None` from one keeps the value.

        Args:
            point: the point.
            value: what is passed on.
            *before: arguments that come before it.
        """
        for op, kwargs in self._ops[point]:
            result = op(*before, value, **kwargs)
            value = value if result is None else result
        return value
