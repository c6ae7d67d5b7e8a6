"""The interface by which a checkpoint saves and restores one component."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rl.core.checkpoint.options import CheckpointOptions

__all__ = ["CheckpointAdapter"]


class CheckpointAdapter(ABC):
    """Saves one component to a folder of its own and restores it from there.

    The folder is on the disk whatever the checkpoint's format, may be filled with any files, and
    is checked against its hashes before `load` sees it. Write files that can be read without
    pickle.

    Attributes:
        adapter_id: name in the manifest; a checkpoint is loaded with an adapter of the same name.
        format_version: version of the files; raise it when older versions cannot read them.

    Example:
        >>> import tempfile
        >>> class TextAdapter(CheckpointAdapter):
        ...     adapter_id = "example.text"
        ...     def save(self, component, path, *, args, kwargs):
        ...         (path / "text").write_text(component["text"])
        ...     def load(self, component, path, *, map_location, tensor_load_kwargs, args, kwargs):
        ...         component["text"] = (path / "text").read_text()
        >>> note, folder = {"text": "hello"}, Path(tempfile.mkdtemp())
        >>> TextAdapter().save(note, folder, args=(), kwargs={})
        >>> note.clear()
        >>> TextAdapter().load(
        ...     note, folder, map_location=None, tensor_load_kwargs={}, args=(), kwargs={}
        ... )
        >>> note
        {'text': 'hello'}
    """

    adapter_id: str
    format_version: int = 1

    @abstractmethod
    def save(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        *,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Save `component` below the folder `path`.

        Args:
            component: what to save.
            path: its folder, empty.
            args: `save_args` of the component's options.
            kwargs: `save_kwargs` of the component's options.
        """

    @abstractmethod
    def load(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        *,
        map_location: Any,  # noqa: ANN401
        tensor_load_kwargs: Mapping[str, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:  # noqa: ANN401
        """Restore `component` from the folder `path`.

        Args:
            component: what to restore.
            path: the folder that `save` filled.
            map_location: where tensors go.
            tensor_load_kwargs: what the caller of `Checkpoint.load` passed by this name.
            args: `load_args` of the component's options.
            kwargs: `load_kwargs` of the component's options.

        Returns:
            A value for `CheckpointLoadResult.values`, or `None`.
        """

    def snapshot(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        options: CheckpointOptions,
    ) -> Callable[[], object]:
        """Note the component's state before a load, and return the function that brings it back.

        Args:
            component: what is going to be loaded.
            path: an empty folder that lasts as long as the load.
            options: the component's options.
        """
        self.save(component, path, args=options.save_args or (), kwargs=options.save_kwargs or {})
        return partial(
            self.load,
            component,
            path,
            map_location=None,
            tensor_load_kwargs={},
            args=options.load_args or (),
            kwargs=options.load_kwargs or {},
        )

    def mismatch(self, entry: Mapping[str, Any]) -> str | None:
        """Return why this adapter does not read what the manifest's `entry` tells of, or `None`."""
        if entry["adapter"] != self.adapter_id:
            return (
                f"it was saved by the adapter `{entry['adapter']}`, here it has "
                f"`{self.adapter_id}`: `register(name, component, adapter=...)`."
            )
        if entry["adapter_version"] > self.format_version:
            return (
                f"field `adapter_version` is {entry['adapter_version']}, this `{self.adapter_id}` "
                f"reads up to {self.format_version}: upgrade it."
            )
        return None
