"""The files of one component's state: a folder, one safetensors file, a ZIP file, or JSON."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rl.core.checkpoint.container import COMPRESSIONS
from rl.core.checkpoint.manifest import MANIFEST
from rl.core.checkpoint.state_folder import (
    STATE_FORMAT,
    STATE_VERSION,
    decode_tree,
    read_state,
    save_state,
)
from rl.core.checkpoint.tree import TreeWriter
from rl.core.errors import CheckpointError

__all__ = ["StateDictFormat", "read_json", "read_payload", "write_json", "write_payload"]

StateDictFormat = Literal["directory", "archive", "consolidated", "torch"]

_ARCHIVE = "state.zip"
_CONSOLIDATED = "state.safetensors"
_VALUE = "value.json"


def write_payload(
    folder: Path, state: object, payload_format: str, compression: str | int | None = None
) -> None:
    """Write a state to `folder` in one of the formats of `StateDictCheckpointAdapter`.

    Raises:
        CheckpointError: names the field that the format cannot hold.
    """
    if payload_format == "directory":
        save_state(folder, state)
    elif payload_format == "consolidated":
        _write_consolidated(folder / _CONSOLIDATED, state)
    else:
        _write_archive(folder / _ARCHIVE, state, compression)


def read_payload(folder: Path, device: str | torch.device | None = None) -> Any:  # noqa: ANN401
    """Return the state in `folder`, whichever of the formats it is in.

    Raises:
        CheckpointError: there is none, or it is damaged; names file and field.
    """
    if (folder / MANIFEST).is_file():
        return read_state(folder, device=device)
    if (folder / _CONSOLIDATED).is_file():
        return _read_consolidated(folder / _CONSOLIDATED, device)
    if (folder / _ARCHIVE).is_file():
        return _read_archive(folder / _ARCHIVE, device)
    if (folder / _VALUE).is_file():
        return read_json(folder)
    raise CheckpointError(
        f"`{folder}` holds none of the files of a state (`{MANIFEST}`, `{_CONSOLIDATED}`, "
        f"`{_ARCHIVE}`, `{_VALUE}`): it was written by an adapter of its own. Load it with a "
        "`Checkpoint` that has this adapter."
    )


def write_json(folder: Path, value: object) -> None:
    """Write a value that JSON holds to `folder`; tuples, keys that are numbers, inf are kept.

    Raises:
        CheckpointError: names the field that JSON does not hold.
    """
    writer = TreeWriter()
    tree = writer.encode(value)
    if writer.tensors:
        raise CheckpointError(
            f"Field `{next(iter(writer.tensors))}` is a tensor or an array, which JSON does not "
            "hold. Turn it into numbers (`.item()`, `.tolist()`), or give the component a "
            "`state_dict` and a `load_state_dict`."
        )
    (folder / _VALUE).write_text(json.dumps(tree, indent=1, allow_nan=False))


def read_json(folder: Path) -> Any:  # noqa: ANN401
    """Return the value that `write_json` wrote.

    Raises:
        CheckpointError: the file is missing or not JSON.
    """
    file = folder / _VALUE
    try:
        tree = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"`{file}` is missing, truncated or damaged ({error}).") from error
    return decode_tree(file, tree, {})


def _write_consolidated(file: Path, state: object) -> None:
    writer = TreeWriter()
    tree = json.dumps(writer.encode(state), allow_nan=False)
    facts = {"format": STATE_FORMAT, "version": str(STATE_VERSION), "state": tree}
    save_file(writer.tensors, file, metadata=facts)


def _read_consolidated(file: Path, device: str | torch.device | None) -> Any:  # noqa: ANN401
    try:
        with safe_open(file, framework="pt") as stored:
            facts = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"`{file}` is not a safetensors file: {error}.") from error
    if facts.get("format") != STATE_FORMAT or facts.get("version") != str(STATE_VERSION):
        raise CheckpointError(
            f"`{file}`: fields `format` and `version` are {facts.get('format')!r} and "
            f"{facts.get('version')!r}, expected {STATE_FORMAT!r} and '{STATE_VERSION}'. "
            "`pip install --upgrade rl-core` if it is newer."
        )
    return decode_tree(file, json.loads(facts["state"]), tensors, device)


def _write_archive(file: Path, state: object, compression: str | int | None) -> None:
    level = compression if isinstance(compression, int) else None
    method = COMPRESSIONS["deflate" if level is not None else compression or "stored"]
    with (
        tempfile.TemporaryDirectory(dir=file.parent) as scratch,
        zipfile.ZipFile(file, "w", method, compresslevel=level) as archive,
    ):
        save_state(scratch, state)
        for path in sorted(Path(scratch).iterdir()):
            archive.write(path, path.name)


def _read_archive(file: Path, device: str | torch.device | None) -> Any:  # noqa: ANN401
    with tempfile.TemporaryDirectory(prefix="rl-checkpoint-") as scratch:
        try:
            with zipfile.ZipFile(file) as archive:
                archive.extractall(scratch)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise CheckpointError(f"`{file}` is truncated or damaged ({error}).") from error
        return read_state(Path(scratch), device=device)
