"""The parts of a buffer: making them from arguments, and their state without the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from rl.core.errors import CheckpointError
from rl.core.transform import Compose
from rl.data.samplers.base import Sampler
from rl.data.writers.base import Writer

__all__ = ["check_parts", "check_size", "make_part", "state_of_parts", "take_parts"]

Part = TypeVar("Part")


class HasParts(Protocol):
    """What is saved of a buffer besides its rows."""

    sampler: Sampler
    writer: Writer
    transform: Compose
    batch_size: int | None


def state_of_parts(buffer: HasParts) -> dict[str, Any]:
    """Return the state of sampler, writer, transforms and generator."""
    generator = buffer.sampler.generator
    return {
        "_kinds": _kinds(buffer),
        "_sampler": buffer.sampler.state_dict(),
        "_writer": buffer.writer.state_dict(),
        "_transforms": dict(buffer.transform.state_dict()),
        "_batch_size": buffer.batch_size,
        "_rng": None if generator is None else generator.get_state(),
    }


def check_parts(buffer: HasParts, state: dict[str, Any]) -> None:
    """Raise unless `take_parts` can take the state.

    Raises:
        CheckpointError: a part is of another kind than the saved one.
    """
    for part, kind in _kinds(buffer).items():
        if state["_kinds"][part] != kind:
            raise CheckpointError(
                f"Field `{part}` of the saved buffer is a {state['_kinds'][part]}, this buffer "
                f"has a {kind}. Build the buffer with the parts it was saved with."
            )


def take_parts(buffer: HasParts, state: dict[str, Any]) -> None:
    """Set sampler, writer, transforms and, where both sides have one, generator."""
    buffer.sampler.load_state_dict(state["_sampler"])
    buffer.writer.load_state_dict(state["_writer"])
    buffer.transform.load_state_dict(state["_transforms"])
    if state["_rng"] is not None and buffer.sampler.generator is not None:
        buffer.sampler.generator.set_state(state["_rng"])


def _kinds(buffer: HasParts) -> dict[str, str]:
    return {"sampler": type(buffer.sampler).__name__, "writer": type(buffer.writer).__name__}


def make_part(name: str, given: Any, kind: type[Part], default: Callable[[], Part]) -> Part:  # noqa: ANN401
    """Return a part of a buffer, made by its function if one was given.

    Raises:
        TypeError: it is of another kind.
    """
    if given is None:
        return default()
    made = given() if not isinstance(given, kind) and callable(given) else given
    if not isinstance(made, kind):
        raise TypeError(
            f"`{name}` is a {type(made).__qualname__}, expected a {kind.__name__} or a function "
            "that makes one."
        )
    return made


def check_size(name: str, value: int) -> int:
    """Return `value`.

    Raises:
        ValueError: it is not positive.
    """
    if value <= 0:
        raise ValueError(f"`{name}` is {value}, expected a positive number.")
    return int(value)
