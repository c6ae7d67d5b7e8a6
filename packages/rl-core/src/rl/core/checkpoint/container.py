"""Where a checkpoint's components lie: a folder, or one ZIP file, whole at every moment.

In both, `manifest.json` names a folder `components-*`, in it the folder of each component, and of
each file its size and SHA-256. A directory is replaced when its manifest is, an archive by a
rename: a kill at any moment leaves the earlier checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from rl.core.checkpoint.manifest import (
    MANIFEST,
    compare,
    decode_manifest,
    encode_manifest,
    read_bytes,
    sync,
    write_atomic,
)
from rl.core.checkpoint.state_folder import STATE_FORMAT, STATE_VERSION
from rl.core.errors import CheckpointError

__all__ = [
    "COMPRESSIONS",
    "FORMAT",
    "VERSION",
    "CheckpointFormat",
    "Fill",
    "abandoned",
    "is_checkpoint",
    "open_components",
    "read_checkpoint",
    "write_archive",
    "write_directory",
]

CheckpointFormat = Literal["directory", "archive"]
# writes the components below a folder and returns their entries in the manifest, by name
Fill = Callable[[Path], dict[str, dict[str, Any]]]

FORMAT = "rl.checkpoint"
VERSION = 1
COMPRESSIONS = {"stored": zipfile.ZIP_STORED, "deflate": zipfile.ZIP_DEFLATED}
_GENERATION = re.compile(r"components-[0-9a-f]{16}")
_DAMAGED_ZIP = (zipfile.BadZipFile, zipfile.LargeZipFile, KeyError, ValueError, EOFError)
_DAMAGED_ZIP += (NotImplementedError, RuntimeError, OSError, zlib.error)
_CHUNK = 2**20


def write_directory(path: Path, fill: Fill, header: dict[str, Any]) -> None:
    """Write a checkpoint to the folder `path`; files that are not a checkpoint's stay.

    Raises:
        CheckpointError: `path` is a file, or its manifest is foreign.
    """
    if path.exists() and not path.is_dir():
        raise CheckpointError(
            f"`{path}` is a file, and a checkpoint of format 'directory' is a folder. Pass another "
            'path, or `format="archive"`.'
        )
    if (path / MANIFEST).exists():
        _refuse_foreign(path / MANIFEST, read_bytes(path / MANIFEST))
    first = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    generation = path / f"components-{secrets.token_hex(8)}"
    generation.mkdir()
    try:
        body = _body(generation, fill, header)
    except BaseException:
        shutil.rmtree(path if first else generation, ignore_errors=True)
        raise
    sync(path)
    sync(path.parent)
    write_atomic(path / MANIFEST, encode_manifest(FORMAT, VERSION, body))
    for stale in path.iterdir():
        if _GENERATION.fullmatch(stale.name) and stale != generation:
            shutil.rmtree(stale, ignore_errors=True)
        elif re.fullmatch(r"\.manifest\.json\.[0-9a-f]{8}\.tmp", stale.name):
            stale.unlink(missing_ok=True)


def write_archive(path: Path, fill: Fill, header: dict[str, Any], compression: str) -> None:
    """Write a checkpoint to the ZIP file `path`.

    The components are written to a folder beside it first, from which the archive streams them.

    Raises:
        CheckpointError: `path` is a folder, or a file that is no checkpoint.
    """
    if path.is_dir():
        raise CheckpointError(
            f"`{path}` is a folder, and a checkpoint of format 'archive' is a file. Pass another "
            'path, or `format="directory"`.'
        )
    if path.exists() and not is_checkpoint(path):
        raise CheckpointError(
            f"`{path}` is a file that no checkpoint wrote: it is not replaced. Pass another path."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    _clean_beside(path)
    staging = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    packed = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    generation = staging / f"components-{secrets.token_hex(8)}"
    generation.mkdir(parents=True)
    try:
        body = _body(generation, fill, header)
        _pack(packed, generation, encode_manifest(FORMAT, VERSION, body), compression)
        os.replace(packed, path)
    finally:
        packed.unlink(missing_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
    sync(path.parent)


def is_checkpoint(path: Path) -> bool:
    """Tell whether `path` has the manifest of a checkpoint that this version reads."""
    try:
        read_checkpoint(path)
    except CheckpointError:
        return False
    return True


def abandoned(path: Path) -> bool:
    """Tell whether `path` is a folder in which a first save was killed, and nothing else is."""
    if not path.is_dir():
        return False
    own = re.compile(rf"{_GENERATION.pattern}|\.manifest\.json\.[0-9a-f]{{8}}\.tmp")
    return all(own.fullmatch(entry.name) for entry in path.iterdir())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the manifest's body, checked.

    Raises:
        CheckpointError: there is none, or it is damaged, foreign or newer; names file and field.
    """
    name = path / MANIFEST
    kind, body = decode_manifest(name, _raw(path), {FORMAT: VERSION, STATE_FORMAT: STATE_VERSION})
    if kind == STATE_FORMAT:
        raise CheckpointError(
            f"`{path}` holds a plain state, expected components by name. Read it with `load_state`."
        )
    _require_fields(name, body)
    return body


@contextmanager
def open_components(
    path: Path, body: dict[str, Any], names: Iterable[str]
) -> Iterator[dict[str, Path]]:
    """Yield the folders of components, every file in them checked first.

    Raises:
        CheckpointError: a file is missing or damaged; names the file and the field.
    """
    entries = {name: body["components"][name] for name in names}
    if path.is_dir():
        for name, entry in entries.items():
            for file, facts in entry["files"].items():
                _verify(path / body["folder"] / entry["path"] / file, name, file, facts)
        yield {name: path / body["folder"] / entry["path"] for name, entry in entries.items()}
        return
    with tempfile.TemporaryDirectory(prefix="rl-checkpoint-") as scratch:
        for name, entry in entries.items():
            (Path(scratch) / entry["path"]).mkdir()
            for file, facts in entry["files"].items():
                member = f"{body['folder']}/{entry['path']}/{file}"
                _extract(path, member, Path(scratch) / entry["path"] / file)
                _verify(Path(scratch) / entry["path"] / file, name, file, facts, path / member)
        yield {name: Path(scratch) / entry["path"] for name, entry in entries.items()}


def _body(generation: Path, fill: Fill, header: dict[str, Any]) -> dict[str, Any]:
    components = fill(generation)
    for entry in components.values():
        entry["files"] = _digests(generation / entry["path"])
    for folder in (generation, *(p for p in generation.rglob("*") if p.is_dir())):
        sync(folder)
    return {**header, "folder": generation.name, "components": components}


def _digests(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        name = file.relative_to(folder).as_posix()
        found[name] = {"bytes": file.stat().st_size, "sha256": digest}
    return found


def _verify(
    file: Path, component: str, name: str, facts: dict[str, Any], shown: Path | None = None
) -> None:
    field, shown = f"components.{component}.files.{name}", shown or file
    if not file.is_file():
        raise CheckpointError(f"`{shown}` is missing; the manifest names it in `{field}`.")
    compare(shown, f"{field}.bytes", file.stat().st_size, facts["bytes"])
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    compare(shown, f"{field}.sha256", digest, facts["sha256"])


def _pack(target: Path, generation: Path, manifest: bytes, compression: str) -> None:
    with open(target, "wb") as file:
        with zipfile.ZipFile(file, "w", COMPRESSIONS[compression]) as archive:
            archive.writestr(MANIFEST, manifest)
            for path in sorted(p for p in generation.rglob("*") if p.is_file()):
                archive.write(path, path.relative_to(generation.parent).as_posix())
        file.flush()
        os.fsync(file.fileno())


def _extract(path: Path, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(member) as source,
            open(target, "wb") as sink,
        ):
            shutil.copyfileobj(source, sink, _CHUNK)
    except _DAMAGED_ZIP as error:
        raise CheckpointError(
            f"`{path}` is damaged: `{member}` in it cannot be read ({error}). Load an earlier "
            "checkpoint."
        ) from error


def _raw(path: Path) -> bytes:
    if path.is_dir():
        return read_bytes(path / MANIFEST)
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(MANIFEST)
    except FileNotFoundError as error:
        raise CheckpointError(f"`{path}` does not exist: there is no checkpoint here.") from error
    except _DAMAGED_ZIP as error:
        raise CheckpointError(
            f"`{path}` cannot be read as a checkpoint: `{MANIFEST}` in it is truncated, damaged or "
            f"missing ({error})."
        ) from error


def _refuse_foreign(path: Path, raw: bytes) -> None:
    """Raise if the manifest to be replaced is another program's; a damaged one may be replaced."""
    try:
        decode_manifest(path, raw, {FORMAT: VERSION})
    except CheckpointError as error:
        if b'"rl.checkpoint"' in raw:
            return
        raise CheckpointError(
            f"{error} It is not replaced: save the checkpoint to another folder."
        ) from error


def _clean_beside(path: Path) -> None:
    """Remove what killed saves of the archive `path` left."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.tmp")
    for stale in path.parent.iterdir():
        if left.fullmatch(stale.name):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
            else:
                stale.unlink(missing_ok=True)


def _require_fields(path: Path, body: dict[str, Any]) -> None:
    # only a forged manifest comes here and fails: the hash is right
    components = body.get("components")
    if not isinstance(components, dict) or not _GENERATION.fullmatch(str(body.get("folder"))):
        raise CheckpointError(f"`{path}`: field `components` or `folder` is ill-formed.")
    for name, entry in components.items():
        needed = {"adapter", "adapter_version", "path", "files"}
        if not isinstance(entry, dict) or not needed <= entry.keys():
            raise CheckpointError(f"`{path}`: field `components.{name}` lacks one of {needed}.")
        for file in (entry["path"], *entry["files"]):
            inner = PurePosixPath(file)
            if inner.is_absolute() or {"..", ""} & set(file.split("/")) or "\\" in file:
                raise CheckpointError(
                    f"`{path}`: field `components.{name}` names {file!r}, expected a path in its "
                    "folder."
                )
