"""Where datasets are hosted: listings, with sizes and digests, of public buckets and repositories.

Only public files are listed; nothing here sends a token.
"""

from __future__ import annotations

import base64
import urllib.parse
from dataclasses import dataclass

from rl.data.datasets.download import RemoteFile, fetch_json, fetch_pages

__all__ = ["Bucket", "HubRepository"]


@dataclass(frozen=True)
class Bucket:
    """A public bucket of Google Cloud Storage.

    Attributes:
        name: name of the bucket.
        endpoint: address of the service.

    Example:
        >>> Bucket("minari-remote").url("D4RL/door/human-v2/a.hdf5")
        'https://storage.googleapis.com/minari-remote/D4RL/door/human-v2/a.hdf5'
    """

    name: str
    endpoint: str = "https://storage.googleapis.com"

    def url(self, path: str) -> str:
        """Return the address of an object."""
        return f"{self.endpoint}/{self.name}/{urllib.parse.quote(path)}"

    def files(self, prefix: str, glob: str | None = None) -> list[RemoteFile]:
        """Return the objects under a prefix; their paths are relative to it.

        Args:
            prefix: what the names begin with.
            glob: pattern of the whole name.

        Raises:
            DatasetError: the service cannot be reached or refuses.
        """
        found: list[RemoteFile] = []
        query = {"prefix": prefix, "fields": "nextPageToken,items(name,size,md5Hash)"}
        if glob is not None:
            query["matchGlob"] = glob
        while True:
            address = f"{self.endpoint}/storage/v1/b/{self.name}/o?{urllib.parse.urlencode(query)}"
            page = fetch_json(address)
            found += [self._file(item, prefix) for item in page.get("items", ())]
            if "nextPageToken" not in page:
                return [file for file in found if not file.path.endswith("/")]
            query["pageToken"] = page["nextPageToken"]

    def _file(self, item: dict[str, str], prefix: str) -> RemoteFile:
        digest = None
        if "md5Hash" in item:
            digest = "md5:" + base64.b64decode(item["md5Hash"]).hex()
        path = item["name"].removeprefix(prefix).lstrip("/")
        return RemoteFile(self.url(item["name"]), path, int(item["size"]), digest)


@dataclass(frozen=True)
class HubRepository:
    """A public dataset repository of the Hugging Face hub.

    Attributes:
        name: `"owner/name"`.
        revision: branch, tag or commit.
        endpoint: address of the hub.

    Example:
        >>> HubRepository("lerobot/pusht").url("meta/info.json")
        'https://huggingface.co/datasets/lerobot/pusht/resolve/main/meta/info.json'
    """

    name: str
    revision: str = "main"
    endpoint: str = "https://huggingface.co"

    def url(self, path: str) -> str:
        """Return the address of a file."""
        quoted = urllib.parse.quote(path)
        return f"{self.endpoint}/datasets/{self.name}/resolve/{self.revision}/{quoted}"

    def files(self, folder: str = "") -> list[RemoteFile]:
        """Return the files below a folder; their paths are relative to the repository.

        Raises:
            DatasetError: the hub cannot be reached or refuses.
        """
        base = f"{self.endpoint}/api/datasets/{self.name}/tree/{self.revision}"
        inside = f"/{urllib.parse.quote(folder)}" if folder else ""
        listed = fetch_pages(f"{base}{inside}?recursive=true")
        return [self._file(entry) for entry in listed if entry["type"] == "file"]

    def _file(self, entry: dict) -> RemoteFile:
        # only files in large storage have a digest of their content
        large = entry.get("lfs")
        digest = f"sha256:{large['oid']}" if large else None
        return RemoteFile(self.url(entry["path"]), entry["path"], int(entry["size"]), digest)
