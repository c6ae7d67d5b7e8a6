"""What a vector env needs from whatever runs its envs, and the one that runs them here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rl.envs.base import EnvBase
from rl.envs.vector.group import Attribute, EnvGroup, EnvMeta, RowError
from rl.envs.vector.shared_buffers import Buffers, Layout

__all__ = ["Backend", "LocalBackend"]


class Backend(Protocol):
    """Runs the envs of a vector env."""

    metas: list[EnvMeta]

    def strip(self) -> list[EnvMeta]:
        """Leave the transforms to the vector env; return what the bare envs are like."""

    def bind(self, layout: Layout) -> Buffers:
        """Exchange data through buffers of this layout, and return them."""

    def step(self) -> None:
        """Step every env from its row of the buffers."""

    def step_masked(self) -> None:
        """Step the envs that the mask of the buffers selects."""

    def reset_masked(self) -> None:
        """Reset the envs that the mask of the buffers selects."""

    def call(self, rows: Sequence[int], name: str, args: Sequence[tuple], kwargs: dict) -> list:
        """Call a method of some envs."""

    def read(self, rows: Sequence[int], name: str) -> list[Attribute]:
        """Look an attribute of some envs up."""

    def close(self) -> None:
        """Close every env."""


class LocalBackend:
    """Runs the envs in this process.

    Args:
        makers: one function per env.
    """

    def __init__(self, makers: Sequence[Callable[[], EnvBase]]) -> None:
        self.group: EnvGroup = _unwrapped(EnvGroup, makers)
        self.metas = self.group.describe()
        self.call = _Unwrapped(self.group.call)
        self.read = _Unwrapped(self.group.read)

    def strip(self) -> list[EnvMeta]:
        """Leave the transforms to the vector env; return what the bare envs are like."""
        return self.group.strip()

    def bind(self, layout: Layout) -> Buffers:
        """Exchange data through buffers of this layout, and return them."""
        buffers = Buffers(layout)
        self.group.bind(buffers)
        self.step = _Unwrapped(self.group.step)
        self.step_masked = _Unwrapped(self.group.step_masked)
        self.reset_masked = _Unwrapped(self.group.reset_masked)
        return buffers

    def close(self) -> None:
        """Close every env."""
        self.group.close()


class _Unwrapped:
    """Calls a function; an env's own error comes out instead of the group's `RowError`."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:  # noqa: ANN401
        try:
            return self.function(*args)
        except RowError as error:
            cause = error.__cause__
            cause.add_note(f"Raised by env {error.row} of the vector env.")
            raise cause from cause.__cause__


def _unwrapped(function: Callable, *args: Any) -> Any:  # noqa: ANN401
    return _Unwrapped(function)(*args)
