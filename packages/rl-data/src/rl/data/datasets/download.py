"""Downloads that are whole or absent: resumed where possible, verified, renamed at the end."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.data.datasets.error import DatasetError

__all__ = ["RemoteFile", "download", "fetch_json", "fetch_pages", "open_url"]

_BLOCK = 1 << 20
_TIMEOUT_S = 60.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class RemoteFile:
    """A file to download and what is known of it.

    Attributes:
        url: where it is.
        path: its path in the dataset's folder.
        size: number of bytes, if known.
        digest: `"sha256:..."` or `"md5:..."` in hexadecimal, if known.

    Example:
        >>> RemoteFile("https://example.org/a.hdf5", "a.hdf5", size=3).path
        'a.hdf5'
    """

    url: str
    path: str
    size: int | None = None
    digest: str | None = None


def download(file: RemoteFile, folder: str | os.PathLike[str]) -> Path:
    """Download a file into a folder and return its path.

    The bytes go to `<name>.part`, which takes the name once size and digest are right. A download
    that was cut off goes on where it stopped if the server can, and starts over otherwise.

    Args:
        file: what to download.
        folder: where `file.path` is put.

    Raises:
        DatasetError: the server cannot be reached or refuses, or the bytes are not those that were
            announced; the message names the URL. Nothing is left under the file's name.
    """
    target = Path(folder) / file.path
    if not target.resolve().is_relative_to(Path(folder).resolve()):
        raise DatasetError(f"`{file.url}` names the path `{file.path}`, outside of its folder.")
    if target.exists() and _is_right(file, target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            expected = _receive(file, part)
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if attempt == _ATTEMPTS:
                raise _failed(file, target, f"the connection broke ({error})") from error
            continue
        size = part.stat().st_size
        if expected is None or size >= expected:
            break
        if attempt == _ATTEMPTS:
            raise _failed(file, target, f"it ended after {size} of {expected} bytes")
    _verify(file, part, target, expected)
    os.replace(part, target)
    part.with_name(part.name + ".tag").unlink(missing_ok=True)
    return target


def fetch_json(url: str) -> Any:  # noqa: ANN401
    """Return the JSON document at a URL.

    Raises:
        DatasetError: the server cannot be reached or refuses, or this is not JSON.
    """
    return _document(url)[0]


def fetch_pages(url: str) -> list[Any]:
    """Return the items of a list that a server gives page by page, by `Link` headers.

    Raises:
        DatasetError: as `fetch_json`.
    """
    items: list[Any] = []
    following: str | None = url
    while following is not None:
        page, links = _document(following)
        items += page
        found = re.search(r'<([^>]+)>\s*;\s*rel="next"', links)
        following = None if found is None else urllib.parse.urljoin(following, found[1])
    return items


def _document(url: str) -> tuple[Any, str]:
    try:
        with open_url(url) as response:
            return json.loads(response.read()), response.headers.get("Link", "")
    except (http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as error:
        raise DatasetError(
            f"`{url}` gave no JSON ({error}). Try again, or put the dataset's files in place by "
            "hand and pass `download=False`."
        ) from error


def _receive(file: RemoteFile, part: Path) -> int | None:
    """Append to the partial file what it lacks; return how long it should be, if that is known."""
    tag = part.with_name(part.name + ".tag")
    known = tag.read_text() if tag.exists() else None
    have = part.stat().st_size if part.exists() else 0
    if file.digest is None and known is None:
        have = 0  # nothing would tell whether the rest is of the same file
    if file.size is not None and have == file.size:
        return file.size
    with open_url(file.url, start=have, same_as=known) as response:
        if found := response.headers.get("ETag") or response.headers.get("Last-Modified"):
            tag.write_text(found)
        resumed = response.status == http.client.PARTIAL_CONTENT and _starts_at(response, have)
        length = response.headers.get("Content-Length")
        expected = None if length is None else int(length) + (have if resumed else 0)
        with open(part, "ab" if resumed else "wb") as out:
            while block := _read(response):
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
    return file.size if file.size is not None else expected


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except http.client.IncompleteRead as error:
        return error.partial


def _starts_at(response: http.client.HTTPResponse, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


@contextmanager
def open_url(
    url: str, start: int = 0, same_as: str | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Open a URL for reading, from byte `start` on if the server can.

    Args:
        url: an http(s) address.
        start: first byte that is wanted.
        same_as: the `ETag` or `Last-Modified` of the bytes before; the whole file is sent if it
            has changed.

    Raises:
        DatasetError: the server cannot be reached or refuses; the message names the URL.
    """
    headers = {"User-Agent": "rl-data"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if same_as is not None:
            headers["If-Range"] = same_as
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(_checked(url), headers=headers), timeout=_TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            with open_url(url) as whole:
                yield whole
            return
        raise DatasetError(
            f"`{url}` answered {error.code} {error.reason}. Check the dataset's id, or put the "
            "file in place by hand and pass `download=False`."
        ) from error
    except urllib.error.URLError as error:
        raise DatasetError(
            f"`{url}` cannot be reached ({error.reason}). Check the connection, or put the file in "
            "place by hand and pass `download=False`."
        ) from error
    with response:
        yield response


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise DatasetError(f"`{url}` is no http(s) address: datasets are downloaded over http(s).")
    return url


def _verify(file: RemoteFile, part: Path, target: Path, expected: int | None) -> None:
    size = part.stat().st_size
    if expected is not None and size != expected:
        _forget(part)
        raise _failed(file, target, f"it has {size} bytes, expected {expected}")
    if file.digest is not None and not _is_right(file, part):
        found = _digest(file.digest, part)
        _forget(part)
        raise _failed(file, target, f"its {found.replace(':', ' is ')}, expected {file.digest}")


def _forget(part: Path) -> None:
    part.unlink()
    part.with_name(part.name + ".tag").unlink(missing_ok=True)


def _is_right(file: RemoteFile, path: Path) -> bool:
    """Return whether a complete file has the announced size and digest."""
    if file.size is not None and path.stat().st_size != file.size:
        return False
    return file.digest is None or _digest(file.digest, path) == file.digest


def _digest(like: str, path: Path) -> str:
    """Return the digest of a file, of the kind of another one."""
    kind = like.partition(":")[0]
    with open(path, "rb") as stream:
        return f"{kind}:{hashlib.file_digest(stream, kind).hexdigest()}"


def _failed(file: RemoteFile, target: Path, what: str) -> DatasetError:
    return DatasetError(
        f"The download of `{file.url}` failed: {what}. Try again, or put the file at `{target}` by "
        "hand."
    )
