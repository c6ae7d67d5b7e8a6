"""Converted datasets: one memory-mapped file per entry and a manifest, whole or absent.

A conversion goes to a temporary folder, row by row, and takes its name by a rename when everything
is on the disk. Loading maps the files and copies nothing.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import mmap
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from rl.core.checkpoint.files import load_state, save_state, write_atomic
from rl.core.errors import CheckpointError
from rl.data.datasets.error import DatasetError

__all__ = ["ColumnWriter", "Converted", "is_converted", "open_converted"]

_FORMAT = "rl.dataset"
_VERSION = 1
_MANIFEST = "manifest.json"
# without it Linux would set memory aside for the whole file, and refuse one larger than memory;
# Python names it from 3.13 on
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000) if sys.platform == "linux" else 0
_LEFT_S = 24 * 3600
_HASHED_BYTES = 64 << 20  # larger files are hashed by `verify` only


@dataclass
class Converted:
    """A converted dataset: its rows, mapped from disk, and what belongs to them.

    Attributes:
        rows: `[num_rows, ...]`; writes to it stay in memory, the files do not change.
        texts: per key of a text entry, the strings that its codes number.
        metadata: what the source tells about the dataset.
        origin: which local files it was converted from, empty if they were downloaded.
        folder: where the files are.
    """

    rows: TensorDict
    texts: dict[tuple[str, ...], list[str]]
    metadata: dict[str, Any]
    origin: dict[str, Any]
    folder: Path

    def verify(self) -> None:
        """Compare every file with its hash.

        Raises:
            DatasetError: a file is damaged.
        """
        for column in _read_manifest(self.folder)["columns"]:
            _check_hash(self.folder / column["file"], column["sha256"])


@dataclass
class _Column:
    path: tuple[str, ...]
    dtype: np.dtype
    tail: tuple[int, ...]
    file: str
    stream: BinaryIO = field(repr=False)


class ColumnWriter:
    """Writes a converted dataset, a batch of rows at a time, with the memory of one batch.

    A context manager: leaving it by an exception removes what was written.

    Args:
        folder: the folder of the converted dataset; an earlier one is replaced at the end.

    Attributes:
        origin: see `Converted`.
        metadata: saved with the rows; of the kinds that `rl.core.save_state` holds.
        texts: strings of entries that are written as codes already.
        num_rows: number of rows written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "toy"
        >>> with ColumnWriter(folder) as writer:
        ...     writer.append({"action": np.zeros((2, 3)), "next": {"reward": np.ones((2, 1))}})
        >>> open_converted(folder).rows["next", "reward"].shape
        torch.Size([2, 1])
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.metadata: dict[str, Any] = {}
        self.origin: dict[str, Any] = {}
        self.num_rows = 0
        self._columns: list[_Column] = []
        self.texts: dict[tuple[str, ...], list[str]] = {}
        self._codes: dict[tuple[str, ...], dict[str, int]] = {}
        name = f".{self.folder.name}.{secrets.token_hex(4)}.converting"
        self._temporary = self.folder.with_name(name)

    def append(self, rows: Mapping[str, Any]) -> None:
        """Write rows after the others.

        Args:
            rows: a nest of arrays `[n, ...]`; lists of strings are kept as text entries.

        Raises:
            DatasetError: an entry has other keys, shapes or dtypes than the first rows.
        """
        leaves = {path: self._array(path, value) for path, value in _leaves(rows)}
        count = len(next(iter(leaves.values())))
        if not self._columns:
            self._open(leaves)
        if leaves.keys() != {column.path for column in self._columns}:
            known = {column.path for column in self._columns}
            odd = ".".join(sorted(leaves.keys() ^ known)[0])
            raise DatasetError(f"{self._where()}: `{odd}` is not in every episode. {_REPORT}")
        for column in self._columns:
            array = leaves[column.path]
            if array.dtype != column.dtype or array.shape != (count, *column.tail):
                raise DatasetError(
                    f"{self._where()}: `{'.'.join(column.path)}` has shape {list(array.shape)} and "
                    f"dtype {array.dtype}, expected {[count, *column.tail]} and {column.dtype} as "
                    f"in the first rows. {_REPORT}"
                )
            column.stream.write(np.ascontiguousarray(array).data)
        self.num_rows += count

    def _array(self, path: tuple[str, ...], value: Any) -> np.ndarray:  # noqa: ANN401
        if isinstance(value, list):
            codes = self._codes.setdefault(path, {})
            return np.array([codes.setdefault(text, len(codes)) for text in value], np.int64)
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        # files of other machines may have the other byte order
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def _open(self, leaves: dict[tuple[str, ...], np.ndarray]) -> None:
        for i, (path, array) in enumerate(leaves.items()):
            if array.dtype.hasobject or array.dtype.kind not in "biufc":
                raise DatasetError(
                    f"{self._where()}: `{'.'.join(path)}` has dtype {array.dtype}, which no tensor "
                    f"holds. {_REPORT}"
                )
            label = ".".join(path).replace(os.sep, "-")
            name = f"{i:03d}-{label}.memmap"
            stream = open(self._temporary / name, "wb")  # noqa: SIM115 (closed at the end)
            self._columns.append(_Column(path, array.dtype, array.shape[1:], name, stream))

    def _where(self) -> str:
        return f"`{self.folder}` cannot be converted, row {self.num_rows}"

    def __enter__(self) -> ColumnWriter:
        self._temporary.mkdir(parents=True)
        for left in self.folder.parent.glob(f".{glob.escape(self.folder.name)}.*"):
            with contextlib.suppress(FileNotFoundError):  # another conversion has removed it
                if time.time() - left.stat().st_mtime > _LEFT_S:  # of a process that was killed
                    shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(self, kind: type | None, value: object, traceback: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            for column in self._columns:
                column.stream.close()
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _finish(self) -> None:
        if not self.num_rows:
            raise DatasetError(f"`{self.folder}` would be empty: the source holds no transition.")
        described = [self._close(column) for column in self._columns]
        strings = {**self.texts, **{path: list(codes) for path, codes in self._codes.items()}}
        texts = [{"path": list(path), "strings": known} for path, known in strings.items()]
        body = {
            "num_rows": self.num_rows,
            "columns": described,
            "texts": texts,
            "origin": self.origin,
        }
        save_state(self._temporary / "metadata", self.metadata)
        write_atomic(self._temporary / _MANIFEST, _manifest(body))
        _take_place(self._temporary, self.folder)

    def _close(self, column: _Column) -> dict[str, Any]:
        column.stream.flush()
        os.fsync(column.stream.fileno())
        column.stream.close()
        with open(self._temporary / column.file, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return {
            "path": list(column.path),
            "dtype": column.dtype.str,
            "tail": list(column.tail),
            "file": column.file,
            "sha256": digest,
        }


def _take_place(made: Path, folder: Path) -> None:
    """Rename a folder, in the place of one of an earlier or a simultaneous conversion."""
    for attempt in range(100):
        try:
            os.replace(made, folder)
            return
        except OSError:
            retired = made.with_suffix(f".old{attempt}")
            try:
                os.replace(folder, retired)
            except FileNotFoundError:
                if not made.exists():
                    raise
            shutil.rmtree(retired, ignore_errors=True)
    raise DatasetError(f"`{folder}` cannot be replaced: other processes convert it all the time.")


_REPORT = "The source is not of the layout that this class reads."


def is_converted(folder: str | os.PathLike[str]) -> bool:
    """Return whether a converted dataset, damaged or not, is in a folder."""
    return (Path(folder) / _MANIFEST).exists()


def open_converted(folder: str | os.PathLike[str]) -> Converted:
    """Map the rows of a converted dataset.

    Sizes are checked, and the hashes of files up to 64 MiB.

    Raises:
        DatasetError: a file is missing, damaged, foreign or of a newer format; the message names
            it and the fix.
    """
    folder = Path(folder)
    body = _read_manifest(folder)
    nested: dict[str, Any] = {}
    for column in body["columns"]:
        tensor = _map(folder, column, body["num_rows"])
        place = nested
        for name in column["path"][:-1]:
            place = place.setdefault(name, {})
        place[column["path"][-1]] = tensor
    try:
        metadata = load_state(folder / "metadata")
    except CheckpointError as error:
        raise DatasetError(f"{error} {_redo(folder)}") from error
    texts = {tuple(entry["path"]): entry["strings"] for entry in body["texts"]}
    rows = TensorDict(nested, batch_size=[body["num_rows"]])
    return Converted(rows, texts, metadata, body["origin"], folder)


def _map(folder: Path, column: dict[str, Any], num_rows: int) -> Tensor:
    file = folder / column["file"]
    dtype, shape = np.dtype(column["dtype"]), (num_rows, *column["tail"])
    expected = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    found = file.stat().st_size if file.is_file() else None
    if found != expected:
        what = "is missing" if found is None else f"has {found} bytes, expected {expected}"
        raise DatasetError(f"`{file}` {what}: the conversion is damaged. {_redo(folder)}")
    if expected <= _HASHED_BYTES:
        _check_hash(file, column["sha256"])
    if not expected:
        return torch.from_numpy(np.empty(shape, dtype))
    return torch.from_numpy(np.frombuffer(_mapped(file), dtype).reshape(shape))


def _mapped(file: Path) -> mmap.mmap:
    """Map a file so that it is copied where it is written: what users write never reaches it."""
    with open(file, "rb") as stream:
        if sys.platform == "win32":
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        flags = mmap.MAP_PRIVATE | _NO_RESERVE
        return mmap.mmap(stream.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)


def _check_hash(file: Path, digest: str) -> None:
    with open(file, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != digest:
        raise DatasetError(
            f"`{file}` is damaged: its sha256 is not that of the conversion. {_redo(file.parent)}"
        )


def _redo(folder: Path) -> str:
    return f"Remove `{folder}`, or pass `download='force'`, to convert it anew."


def _manifest(body: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    document = {"format": _FORMAT, "version": _VERSION, "sha256": digest, "body": body}
    return json.dumps(document, indent=1).encode()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"`{path}` cannot be read ({error}). {_redo(folder)}") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise DatasetError(f"`{path}` is not the manifest of a dataset. {_redo(folder)}")
    if document.get("version") != _VERSION:
        raise DatasetError(
            f"`{path}`: field `version` is {document.get('version')}, this rl-data reads "
            f"{_VERSION}. `pip install --upgrade rl-data`, or {_redo(folder)[0].lower()}"
            f"{_redo(folder)[1:]}"
        )
    body = document.get("body")
    if hashlib.sha256(json.dumps(body).encode()).hexdigest() != document.get("sha256"):
        raise DatasetError(f"`{path}` is damaged: field `sha256` does not fit. {_redo(folder)}")
    return body


def _leaves(
    rows: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in rows.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
