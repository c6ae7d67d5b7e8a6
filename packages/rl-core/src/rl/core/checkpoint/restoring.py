"""Components to their folders and back, all or nothing."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rl.core.checkpoint.adapter import CheckpointAdapter
from rl.core.checkpoint.component_table import ComponentTable
from rl.core.checkpoint.load_result import (
    CheckpointLoadResult,
    CheckpointStrictness,
    refusal,
)
from rl.core.checkpoint.options import CheckpointOptions
from rl.core.errors import CheckpointError

__all__ = ["restore_components", "save_component"]


def save_component(
    table: ComponentTable, name: str, folder: Path, index: int, options: CheckpointOptions
) -> dict[str, Any]:
    """Save one component to a folder of its own in `folder`.

    Args:
        table: the components.
        name: which.
        folder: that of all components.
        index: its number among them.
        options: its options.

    Returns:
        Its entry in the manifest.

    Raises:
        CheckpointError: it cannot be saved.
    """
    adapter = table.adapter_of(name)
    own = folder / f"{index:04d}-{re.sub(r'[^A-Za-z0-9_]', '_', name)}"
    own.mkdir()
    try:
        adapter.save(
            table.components[name],
            own,
            args=tuple(options.save_args or ()),
            kwargs=dict(options.save_kwargs or {}),
        )
    except CheckpointError as error:
        raise CheckpointError(f"Component `{name}` cannot be saved. {error}") from error
    return {
        "adapter": adapter.adapter_id,
        "adapter_version": adapter.format_version,
        "path": own.name,
    }


def restore_components(
    table: ComponentTable,
    folders: Mapping[str, Path],
    options: Mapping[str, CheckpointOptions],
    read: Mapping[str, Any],
    result: CheckpointLoadResult,
    level: CheckpointStrictness,
) -> None:
    """Load components from their folders; when an error is raised, all keep what they had.

    Args:
        table: the components.
        folders: the folder of each, in the order in which they are loaded.
        options: of every component.
        read: `map_location` and `tensor_load_kwargs`, for adapters.
        result: the report, filled in.
        level: with `"error"` a component that refuses its state ends the load, otherwise it alone
            keeps what it had.

    Raises:
        CheckpointError: a component refused its state, or could not be brought back if it did.
    """
    with (
        tempfile.TemporaryDirectory(prefix="rl-checkpoint-") as scratch,
        ExitStack() as undo,
    ):
        # undone backwards, since components may share tensors
        undo.callback(_forget, result)
        for index, (name, folder) in enumerate(folders.items()):
            component, adapter = table.components[name], table.adapter_of(name)
            chosen, held = options[name], Path(scratch) / str(index)
            held.mkdir()
            bring_back = _snapshot(name, component, adapter, held, chosen)
            undo.callback(bring_back)
            try:
                args, kwargs = tuple(chosen.load_args or ()), dict(chosen.load_kwargs or {})
                value = adapter.load(component, folder, args=args, kwargs=kwargs, **read)
            except Exception as error:
                result.incompatible[name] = str(error)
                if level == "error":
                    raise CheckpointError(refusal(name, error), result) from error
                bring_back()
                continue
            result.loaded.add(name)
            if value is not None:
                result.values[name] = value
        undo.pop_all()


def _snapshot(
    name: str,
    component: object,
    adapter: CheckpointAdapter,
    folder: Path,
    options: CheckpointOptions,
) -> Callable[[], object]:
    try:
        return adapter.snapshot(component, folder, options)
    except Exception as error:
        raise CheckpointError(
            f"Component `{name}` is not loaded, nor is any other: what it holds now could not be "
            f"noted, to bring it back if need be: {error} Give it an adapter with a `snapshot`."
        ) from error


def _forget(result: CheckpointLoadResult) -> None:
    result.loaded.clear()
    result.values.clear()
