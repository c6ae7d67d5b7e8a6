"""Files that are whole or absent: atomic writes, hashes, and the two files of a saved state."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rl.core.checkpoint.tree import TreeReader, TreeWriter
from rl.core.errors import CheckpointError

__all__ = ["FORMAT_VERSION", "MANIFEST", "load_state", "save_state", "write_atomic"]

FORMAT = "rl.state"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` so that a reader finds the old content or the new, never a part.

    The bytes go to a temporary neighbour, reach the disk, and take the name by a rename.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_atomic(folder / "a.txt", b"hello")
        >>> (folder / "a.txt").read_text()
        'hello'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def save_state(path: str | os.PathLike[str], state: object) -> None:
    """Save a nested state in the folder `path`, as safetensors and JSON, atomically.

    The folder holds `manifest.json` (the tree, a format version, hashes) and one
    `tensors-*.safetensors`, which the manifest names. A new state takes effect when its manifest
    replaces the old one, so a kill at any moment leaves the old state or the new one, whole. One
    process at a time may save to a folder.

    Args:
        path: the folder; made when absent, replaced when it holds a state.
        state: dicts (keys of any plain type), lists, tuples, numbers, strings, bytes, `None`,
            tensors, numpy arrays, TensorDicts. Tensors that are one tensor are loaded as one;
            partial overlaps are saved apart. Neither devices nor `requires_grad` are kept.

    Raises:
        CheckpointError: names the field that the format cannot hold, or says that `path` is a file.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> save_state(folder, {"step": 3, "weight": torch.ones(2)})
        >>> load_state(folder)
        {'step': 3, 'weight': tensor([1., 1.])}
    """
    path = Path(path)
    writer = TreeWriter()
    tree = writer.encode(state)
    if path.exists() and not path.is_dir():
        raise CheckpointError(
            f"`{path}` is a file; a state is saved in a folder. Pass another path."
        )
    path.mkdir(parents=True, exist_ok=True)
    tensors = path / f"tensors-{secrets.token_hex(8)}.safetensors"
    temporary = tensors.with_suffix(".tmp")
    save_file(writer.tensors, temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    os.replace(temporary, tensors)
    body = {
        "tensors": {
            "file": tensors.name,
            "bytes": tensors.stat().st_size,
            "sha256": digest,
        },
        "state": tree,
    }
    _sync(path)
    write_atomic(path / MANIFEST, _manifest(body))
    for stale in path.glob("tensors-*"):
        if stale != tensors:
            stale.unlink(missing_ok=True)


def load_state(path: str | os.PathLike[str], *, device: str | torch.device | None = None) -> Any:  # noqa: ANN401
    """Load the state that `save_state` wrote to the folder `path`.

    Everything is checked before anything is returned.

    Args:
        path: the folder.
        device: where the tensors are put, the CPU by default.

    Raises:
        CheckpointError: a file is missing, truncated, changed, foreign or of a newer format; the
            message names the file and the field.
    """
    path = Path(path)
    manifest = path / MANIFEST
    body = _read_manifest(manifest)
    file = path / body["tensors"]["file"]
    if not file.is_file():
        raise CheckpointError(f"`{file}` is missing; `{manifest}` names it in `tensors.file`.")
    _compare(file, "tensors.bytes", file.stat().st_size, body["tensors"]["bytes"])
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    _compare(file, "tensors.sha256", digest, body["tensors"]["sha256"])
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"`{file}` is not a safetensors file: {error}.") from error
    if device is not None:
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    try:
        return TreeReader(tensors).decode(body["state"])
    except CheckpointError as error:
        raise CheckpointError(f"`{manifest}`: {error}") from error
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"`{manifest}`: field `state` is ill-formed ({error}).") from error


def _manifest(body: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(_json(body)).hexdigest()
    return _json({"format": FORMAT, "version": FORMAT_VERSION, "sha256": digest, "body": body})


def _json(document: object) -> bytes:
    return json.dumps(document, indent=1, allow_nan=False).encode("ascii")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"`{path}` cannot be read, so there is no state here: {error}."
        ) from error
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise CheckpointError(f"`{path}` is not JSON: truncated or damaged ({error}).") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        given = document.get("format") if isinstance(document, dict) else document
        raise CheckpointError(f"`{path}`: field `format` is {given!r}, expected {FORMAT!r}.")
    version = document.get("version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"`{path}`: field `version` is {version!r}, this rl-core reads 1 to {FORMAT_VERSION}. "
            "`pip install --upgrade rl-core`."
        )
    body = document.get("body")
    _compare(path, "sha256", hashlib.sha256(_json(body)).hexdigest(), document.get("sha256"))
    # the hash covers what the bytes mean; this covers the bytes themselves
    if raw != _manifest(body):
        raise CheckpointError(f"`{path}`: field `body` is not in the written form: it was edited.")
    _require_fields(path, body)
    return body


def _require_fields(path: Path, body: Any) -> None:  # noqa: ANN401
    # only a forged manifest comes here and fails: the hash is right
    if not isinstance(body, dict) or "state" not in body:
        raise CheckpointError(f"`{path}` lacks field `state`: it was not written by `save_state`.")
    tensors = body.get("tensors")
    if not isinstance(tensors, dict) or not {"file", "bytes", "sha256"} <= tensors.keys():
        raise CheckpointError(f"`{path}`: field `tensors` lacks `file`, `bytes` or `sha256`.")
    if Path(str(tensors["file"])).name != tensors["file"]:
        raise CheckpointError(
            f"`{path}`: field `tensors.file` is {tensors['file']!r}, expected a name in its folder."
        )


def _compare(path: Path, field: str, found: object, expected: object) -> None:
    if found != expected:
        raise CheckpointError(
            f"`{path}` is damaged: field `{field}` says {expected!r}, the file has {found!r}. "
            "Load an earlier checkpoint."
        )


def _sync(folder: Path) -> None:
    # a rename is on the disk only when its folder is
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
