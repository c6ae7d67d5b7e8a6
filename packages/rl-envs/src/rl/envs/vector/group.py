"""A group: the envs of one process, stepped through the slots of shared buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rl.core import Composite, RLError, Transform
from rl.envs.base import EnvBase
from rl.envs.vector.hoisting import batchable_transform, strip
from rl.envs.vector.shared_buffers import Buffers

__all__ = ["Attribute", "EnvGroup", "EnvMeta", "RowError", "describe"]


class RowError(RLError):
    """An env of a group raised; holds its row, and the error as its cause."""

    def __init__(self, row: int) -> None:
        super().__init__(f"env {row}")
        self.row = row


@dataclass(frozen=True)
class EnvMeta:
    """What a vector env knows of one of its envs.

    Attributes:
        specs: the Composite of each group: action, state, observation, reward, done.
        batch_size: the env's own batch size.
        batch_locked: whether the env takes only its own batch size.
        allow_done_after_reset: whether it may be done at its reset.
        reads_root: whether a step may read more of the root than action and state.
        transform: the transform that can act on the whole batch instead, or None.
    """

    specs: dict[str, Composite]
    batch_size: torch.Size
    batch_locked: bool
    allow_done_after_reset: bool
    reads_root: bool
    transform: Transform | None


GROUPS = ("action", "state", "observation", "reward", "done")


def describe(env: EnvBase, *, hoistable: bool = True) -> EnvMeta:
    """Describe `env`; `hoistable` says whether its transform may be offered to the vector env."""
    return EnvMeta(
        specs={group: getattr(env, f"full_{group}_spec") for group in GROUPS},
        batch_size=env.batch_size,
        batch_locked=env.batch_locked,
        allow_done_after_reset=env.allow_done_after_reset,
        # asked of the class: a wrapper hands attributes of the wrapped env through
        reads_root=getattr(type(env), "reads_root", True),
        transform=batchable_transform(env) if hoistable else None,
    )


@dataclass(frozen=True)
class Attribute:
    """An attribute of an env: a value, a method (which stays where it is), or nothing.

    Attributes:
        kind: "value", "method" or "missing".
        value: the value.
    """

    kind: str
    value: Any = None


def _look_up(env: EnvBase, name: str) -> Attribute:
    try:
        value = getattr(env, name)
    except AttributeError:
        return Attribute("missing")
    return Attribute("method") if callable(value) else Attribute("value", value)


class EnvGroup:
    """Envs of one process, and the rows that are theirs.

    Args:
        makers: one function per env.
        first_row: the row of the first env among all of the vector env.
    """

    def __init__(self, makers: Sequence[Callable[[], EnvBase]], first_row: int = 0) -> None:
        self.first_row = first_row
        self.envs: list[EnvBase] = []
        for offset, make in enumerate(makers):
            self.envs.append(self._guard(offset, make))
        self._steps: list[Callable[[], None]] = []
        self._resets: list[Callable[[], None]] = []

    def _guard(self, offset: int, function: Callable, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise RowError(self.first_row + offset) from error

    def describe(self) -> list[EnvMeta]:
        """Describe every env."""
        return [describe(env) for env in self.envs]

    def strip(self) -> list[EnvMeta]:
        """Leave the transforms to the vector env; return what the bare envs are like."""
        self.envs = [strip(env) for env in self.envs]
        return [describe(env, hoistable=False) for env in self.envs]

    def bind(self, buffers: Buffers) -> None:
        """Exchange data through `buffers` from now on."""
        self._buffers = buffers
        self._steps, self._resets = [], []
        for row, env in enumerate(self.envs, self.first_row):
            step_slot, reset_slot = buffers.slots(row)
            self._steps.append(env._bind_step(step_slot))
            self._resets.append(env._bind_reset(reset_slot))

    def step(self) -> None:
        """Step every env from its slot."""
        offset = 0
        try:
            for step in self._steps:
                step()
                offset += 1
        except Exception as error:
            raise RowError(self.first_row + offset) from error

    def step_masked(self) -> None:
        """Step the envs that the mask selects."""
        for offset in self._selected():
            self._guard(offset, self._steps[offset])

    def reset_masked(self) -> None:
        """Reset the envs that the mask selects."""
        for offset in self._selected():
            self._guard(offset, self._resets[offset])

    def _selected(self) -> Iterable[int]:
        mask = self._buffers.mask[self.first_row : self.first_row + len(self.envs)]
        return mask.nonzero()[0].tolist()

    def call(self, rows: Sequence[int], name: str, args: Sequence[tuple], kwargs: dict) -> list:
        """Call a method of some envs, each with its own positional arguments."""
        return [
            self._guard(
                row - self.first_row, self._call_one, row - self.first_row, name, arg, kwargs
            )
            for row, arg in zip(rows, args, strict=True)
        ]

    def _call_one(self, offset: int, name: str, args: tuple, kwargs: dict) -> Any:  # noqa: ANN401
        return getattr(self.envs[offset], name)(*args, **kwargs)

    def read(self, rows: Sequence[int], name: str) -> list[Attribute]:
        """Look an attribute of some envs up."""
        return [
            self._guard(row - self.first_row, _look_up, self.envs[row - self.first_row], name)
            for row in rows
        ]

    def close(self) -> None:
        """Close every env; the first error is raised after all have been tried."""
        errors = []
        for env in self.envs:
            try:
                if not env.is_closed:
                    env.close()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
