"""Manifests: JSON documents with a format, a version and a hash; and files whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl.core.errors import CheckpointError

__all__ = [
    "MANIFEST",
    "compare",
    "decode_manifest",
    "encode_manifest",
    "read_bytes",
    "sync",
    "write_atomic",
]

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
    sync(path.parent)


def sync(folder: Path) -> None:
    """Bring the names in `folder` to the disk: a rename is there only when its folder is."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encode_manifest(kind: str, version: int, body: Mapping[str, Any]) -> bytes:
    """Return the document of `body`.

    Args:
        kind: the name of the format.
        version: its version.
        body: what `json` holds, without NaN.
    """
    digest = hashlib.sha256(_json(body)).hexdigest()
    return _json({"format": kind, "version": version, "sha256": digest, "body": body})


def decode_manifest(path: Path, raw: bytes, known: Mapping[str, int]) -> tuple[str, dict[str, Any]]:
    """Return format and body of a document, every byte of it checked.

    Args:
        path: its file, for messages.
        raw: its bytes.
        known: the formats that are read, each with its newest version.

    Raises:
        CheckpointError: it is truncated, changed, foreign or newer; the message names the field.
    """
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise CheckpointError(f"`{path}` is not JSON: truncated or damaged ({error}).") from error
    kind = document.get("format") if isinstance(document, dict) else document
    if not isinstance(document, dict) or kind not in list(known):
        expected = " or ".join(map(repr, known))
        raise CheckpointError(f"`{path}`: field `format` is {kind!r}, expected {expected}.")
    version, newest = document.get("version"), known[kind]
    if type(version) is not int or not 1 <= version <= newest:
        raise CheckpointError(
            f"`{path}`: field `version` is {version!r}, this rl-core reads 1 to {newest}. "
            "`pip install --upgrade rl-core`."
        )
    body = document.get("body")
    compare(path, "sha256", hashlib.sha256(_json(body)).hexdigest(), document.get("sha256"))
    # the hash covers what the bytes mean; this covers the bytes themselves
    if raw != encode_manifest(kind, version, body):
        raise CheckpointError(f"`{path}`: field `body` is not in the written form: it was edited.")
    if not isinstance(body, dict):
        # only a forged manifest comes here: the hash is right
        raise CheckpointError(f"`{path}`: field `body` is no object: it was not written by rl.")
    return kind, body


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a manifest.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"`{path}` cannot be read, so there is no state here: {error}."
        ) from error


def compare(path: Path, field: str, found: object, expected: object) -> None:
    """Raise unless a file has what its manifest says.

    Raises:
        CheckpointError: names the file and the field.
    """
    if found != expected:
        raise CheckpointError(
            f"`{path}` is damaged: field `{field}` says {expected!r}, the file has {found!r}. "
            "Load an earlier checkpoint."
        )


def _json(document: object) -> bytes:
    return json.dumps(document, indent=1, allow_nan=False).encode("ascii")
