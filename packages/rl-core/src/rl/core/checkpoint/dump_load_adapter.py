"""The adapter of objects that write and read folders by themselves, such as replay buffers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl.core.checkpoint.adapter import CheckpointAdapter
from rl.core.errors import CheckpointError

__all__ = ["DumpLoadCheckpointAdapter", "dumps_and_loads"]


class DumpLoadCheckpointAdapter(CheckpointAdapter):
    """Lets the component write to the checkpoint and read from it: `dump(path)`, `load(path)`.

    `dumps` and `loads` are used where the object has no `dump` and `load`. The rows of a replay
    buffer go from its memory, or from its memory maps, straight to files of the checkpoint.

    Before a load, what the component holds is dumped to a temporary folder, from which a refusal
    brings it back. A buffer that is loaded when a program starts is empty, so that this is cheap.

    Example:
        >>> import tempfile
        >>> class Note:
        ...     def dump(self, path):
        ...         (path / "text").write_text(self.text)
        ...     def load(self, path):
        ...         self.text = (path / "text").read_text()
        >>> note, folder = Note(), Path(tempfile.mkdtemp())
        >>> note.text = "hello"
        >>> adapter = DumpLoadCheckpointAdapter()
        >>> adapter.save(note, folder, args=(), kwargs={})
        >>> del note.text
        >>> adapter.load(
        ...     note, folder, map_location=None, tensor_load_kwargs={}, args=(), kwargs={}
        ... )
        >>> note.text
        'hello'
    """

    adapter_id = "rl.dump_load"

    def save(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        *,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Call `component.dump(path, *args, **kwargs)`."""
        dump, _ = _methods(component)
        dump(path, *args, **kwargs)

    def load(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        *,
        map_location: Any,  # noqa: ANN401
        tensor_load_kwargs: Mapping[str, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Call `component.load(path, *args, **kwargs)`; the component knows where tensors go."""
        del map_location, tensor_load_kwargs
        _, load = _methods(component)
        load(path, *args, **kwargs)


def dumps_and_loads(component: object) -> bool:
    """Tell whether an object has `dump` and `load`, or `dumps` and `loads`."""
    return any(
        callable(getattr(component, save, None)) and callable(getattr(component, load, None))
        for save, load in _PAIRS
    )


_PAIRS = (("dump", "load"), ("dumps", "loads"))


def _methods(component: object) -> tuple[Any, Any]:
    for save, load in _PAIRS:
        if hasattr(component, save) and hasattr(component, load):
            return getattr(component, save), getattr(component, load)
    raise CheckpointError(
        f"A {type(component).__qualname__} has neither `dump` and `load` nor `dumps` and `loads`: "
        "give it both, or register it with another adapter."
    )
