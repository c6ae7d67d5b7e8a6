"""Components to their folders and back, all or nothing."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rl.core.checkpoint.component_table import ComponentTable
from rl.core.checkpoint.load_result import (
    CheckpointLoadResult,
    CheckpointStrictness,
    refusal,
)
from rl.core.checkpoint.options import CheckpointOptions
from rl.core.checkpoint.undo import Undo
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
        CheckpointError: a component refused its state, or could not be brought back if it did. A
            note of the error names components that refused even what they held.
    """
    undo = Undo()
    with tempfile.TemporaryDirectory(prefix="rl-checkpoint-") as scratch:
        try:
            for index, (name, folder) in enumerate(folders.items()):
                held = Path(scratch) / str(index)
                held.mkdir()
                bring_back = _snapshot(name, table, held, options[name])
                undo.note(name, bring_back)
                try:
                    value = _load(name, table, folder, options[name], read)
                except Exception as error:
                    result.incompatible[name] = str(error)
                    if level == "error":
                        raise CheckpointError(refusal(name, error), result) from error
                    bring_back()
                    continue
                result.loaded.add(name)
                if value is not None:
                    result.values[name] = value
        except BaseException as error:
            result.loaded.clear()
            result.values.clear()
            told = undo.run()
            if told:
                error.add_note(told.strip())
            raise


def _load(
    name: str,
    table: ComponentTable,
    folder: Path,
    options: CheckpointOptions,
    read: Mapping[str, Any],
) -> Any:  # noqa: ANN401
    args, kwargs = tuple(options.load_args or ()), dict(options.load_kwargs or {})
    adapter, component = table.adapter_of(name), table.components[name]
    return adapter.load(component, folder, args=args, kwargs=kwargs, **read)


def _snapshot(
    name: str, table: ComponentTable, folder: Path, options: CheckpointOptions
) -> Callable[[], object]:
    try:
        return table.adapter_of(name).snapshot(table.components[name], folder, options)
    except Exception as error:
        raise CheckpointError(
            f"Component `{name}` is not loaded, nor is any other: what it holds now could not be "
            f"noted, to bring it back if need be: {error} Give it an adapter with a `snapshot`."
        ) from error
