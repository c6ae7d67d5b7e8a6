"""Saving storages: memory maps for the rows, JSON and safetensors for the rest, atomically."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from rl.core.checkpoint.files import load_state, save_state
from rl.core.errors import CheckpointError, RLError
from rl.data.storages.base import Checkpointer, Storage

__all__ = ["apply_rows", "load_storage", "read_saved", "save_storage"]

_VERSION = 1


def save_storage(
    path: str | os.PathLike[str],
    storage: Storage,
    rest: dict[str, Any] | None = None,
    *,
    checkpointer: Checkpointer | None = None,
) -> None:
    """Write a storage, and the state of what belongs to it, to the folder `path`.

    The rows go to a fresh subfolder; the manifest that names it then replaces the old manifest, so
    a kill at any moment leaves the earlier save or this one, whole.

    Args:
        path: the folder, created if need be; an earlier save in it is replaced.
        storage: what to write.
        rest: further state, of kinds that `rl.core.checkpoint` holds.
        checkpointer: how the rows are written, the storage's own by default.

    Raises:
        CheckpointError: an item or a state is of a kind that cannot be saved.
    """
    path = Path(path)
    checkpointer = storage.checkpointer if checkpointer is None else checkpointer
    rows = path / f"rows-{secrets.token_hex(8)}"
    rows.mkdir(parents=True)
    try:
        described = checkpointer.write(storage, rows)
        state = {
            "buffer_version": _VERSION,
            "format": checkpointer.format,
            "rows": rows.name,
            "files": _digests(rows),
            "storage": described,
            "rest": rest or {},
        }
        save_state(path, state)
    except BaseException:
        shutil.rmtree(rows, ignore_errors=True)
        raise
    for stale in path.glob("rows-*"):
        if stale != rows:
            shutil.rmtree(stale, ignore_errors=True)


def read_saved(
    path: str | os.PathLike[str], storage: Storage, *, checkpointer: Checkpointer | None = None
) -> dict[str, Any]:
    """Read and verify what `save_storage` wrote, without changing `storage`.

    Args:
        path: the folder.
        storage: what takes the rows.
        checkpointer: how they were written, the storage's own by default.

    Returns:
        The saved state, for `apply_rows`; its `"rest"` is the further state.

    Raises:
        CheckpointError: a file is missing, damaged or foreign, or `storage` cannot take the rows.
    """
    path = Path(path)
    checkpointer = storage.checkpointer if checkpointer is None else checkpointer
    state = load_state(path)
    if not isinstance(state, dict) or "buffer_version" not in state:
        raise CheckpointError(f"`{path}` holds a state, but not that of a buffer.")
    if state["buffer_version"] > _VERSION:
        raise CheckpointError(
            f"`{path}`: field `buffer_version` is {state['buffer_version']}, this rl-data reads up "
            f"to {_VERSION}. `pip install --upgrade rl-data`."
        )
    if state.get("format", "rows") != checkpointer.format:
        raise CheckpointError(
            f"`{path}`: field `format` is {state['format']!r}, expected {checkpointer.format!r}. "
            "Build the storage with the `checkpointer=` it was saved with."
        )
    rows = path / state["rows"]
    for name, (size, digest) in state["files"].items():
        _verify(rows / name, size, digest)
    try:
        checkpointer.check(storage, state["storage"])
    except RLError as error:
        raise CheckpointError(f"`{path}`: field `storage`: {error}") from error
    return state


def apply_rows(
    path: str | os.PathLike[str],
    storage: Storage,
    state: dict[str, Any],
    *,
    checkpointer: Checkpointer | None = None,
) -> None:
    """Replace the rows of `storage` with those that `read_saved` verified."""
    checkpointer = storage.checkpointer if checkpointer is None else checkpointer
    checkpointer.read(storage, Path(path) / state["rows"], state["storage"])


def load_storage(
    path: str | os.PathLike[str], storage: Storage, *, checkpointer: Checkpointer | None = None
) -> dict[str, Any]:
    """Replace the rows of `storage` with the saved ones and return the further state.

    Raises:
        CheckpointError: as `read_saved`; `storage` is unchanged.
    """
    state = read_saved(path, storage, checkpointer=checkpointer)
    apply_rows(path, storage, state, checkpointer=checkpointer)
    return state["rest"]


def _digests(folder: Path) -> dict[str, list[Any]]:
    found = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        found[str(file.relative_to(folder))] = [file.stat().st_size, digest]
    return found


def _verify(file: Path, size: int, digest: str) -> None:
    if not file.is_file():
        raise CheckpointError(f"`{file}` is missing: the saved buffer is incomplete.")
    if file.stat().st_size != size:
        raise CheckpointError(
            f"`{file}` is damaged: field `bytes` says {size}, the file has {file.stat().st_size}."
        )
    with open(file, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != digest:
        raise CheckpointError(f"`{file}` is damaged: its sha256 is not that of the saved rows.")
