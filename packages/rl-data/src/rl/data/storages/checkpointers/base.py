"""The interface of storage checkpointers."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from rl.data.storages.base import Storage
from rl.data.storages.saving import load_storage, save_storage

__all__ = ["StorageCheckpointerBase"]


class StorageCheckpointerBase(ABC):
    """Writes the rows of a storage to files and reads them back.

    Given to a storage or a buffer (`checkpointer=`) it is used by `buffer.dumps` and `loads`, which
    add what makes a save safe: it is atomic, hashed and versioned. Subclasses write `write` and
    `read`.

    Attributes:
        format: name of the form, noted in the save; loading with another one raises.

    Example:
        >>> import tempfile
        >>> from rl.data import ListStorage, ListStorageCheckpointer
        >>> storage, other = ListStorage(3), ListStorage(3)
        >>> storage.set(range(2), ["a", "b"])
        >>> folder = tempfile.mkdtemp()
        >>> checkpointer: StorageCheckpointerBase = ListStorageCheckpointer()
        >>> checkpointer.dumps(storage, folder)
        >>> checkpointer.loads(other, folder)
        >>> other[:]
        ['a', 'b']
    """

    format: str = "rows"

    @abstractmethod
    def write(self, storage: Storage, folder: Path) -> dict[str, Any]:
        """Write the rows to files in `folder`; return all else as plain values.

        Raises:
            SpecError: the storage is not of a kind that this form can hold.
        """

    def check(self, storage: Storage, described: dict[str, Any]) -> None:
        """Raise unless `read` can take what `write` returned.

        Raises:
            SpecError: capacity, layout or keys differ.
        """
        storage.check_description(described)

    @abstractmethod
    def read(self, storage: Storage, folder: Path, described: dict[str, Any]) -> None:
        """Replace the rows with those in `folder`."""

    def dumps(self, storage: Storage, path: str | os.PathLike[str]) -> None:
        """Save a storage alone to the folder `path`, atomically."""
        save_storage(path, storage, checkpointer=self)

    def loads(self, storage: Storage, path: str | os.PathLike[str]) -> None:
        """Load what `dumps` saved.

        Raises:
            CheckpointError: a file is missing, damaged or foreign; the storage is unchanged.
        """
        load_storage(path, storage, checkpointer=self)

    save = dumps
    load = loads

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
