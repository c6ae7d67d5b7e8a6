"""The error tree: each error is an `RLError` and the builtin that a caller would catch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "CheckpointError",
    "ContractError",
    "MissingDependencyError",
    "MissingKeyError",
    "NotRegisteredError",
    "RLError",
    "ShapeError",
    "SpecError",
    "WorkerError",
    "nearest",
]


class RLError(Exception):
    """Root of every error that the library raises on purpose."""


class SpecError(RLError, ValueError):
    """A spec is ill-formed, or data lies outside the spec's domain."""


class ShapeError(RLError, ValueError):
    """A tensor has another shape than the contract asks for."""


class MissingKeyError(RLError, KeyError):
    """A TensorDict lacks a key that a component reads."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class NotRegisteredError(RLError, LookupError):
    """A name is in no registry; the message suggests the nearest one."""


class MissingDependencyError(RLError, ImportError):
    """An optional library is not installed; the message gives the pip command."""


class ContractError(RLError, ImportError):
    """Two wheels were built for different versions of the contract."""


class WorkerError(RLError, RuntimeError):
    """A worker process raised or died; the message holds its index and traceback."""


class CheckpointError(RLError, OSError):
    """A saved artefact is damaged, foreign or incomplete; the message names file and field.

    Args:
        message: what is wrong and what to do.
        result: the `CheckpointLoadResult` of a load that failed, when there is one.

    Example:
        >>> error = CheckpointError("The file is damaged.")
        >>> str(error), error.result
        ('The file is damaged.', None)
    """

    def __init__(self, message: str, result: Any = None) -> None:  # noqa: ANN401
        super().__init__(message)
        self.result = result


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return the sentence that suggests the candidate nearest to `name`.

    Example:
        >>> nearest("CartPol-v1", ["CartPole-v1", "Pendulum-v1"])
        'Did you mean `CartPole-v1`?'
    """
    pool = sorted(set(candidates))
    close = difflib.get_close_matches(name, pool, n=1, cutoff=0.4)
    if close:
        return f"Did you mean `{close[0]}`?"
    shown = ", ".join(f"`{c}`" for c in pool[:20])
    return f"Known names: {shown}." if shown else "Nothing is registered."
