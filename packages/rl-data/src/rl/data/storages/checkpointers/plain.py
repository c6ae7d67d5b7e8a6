"""The checkpointers that write rows as the storages keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rl.core.errors import SpecError
from rl.data.storages.base import Storage
from rl.data.storages.checkpointers.base import StorageCheckpointerBase

__all__ = [
    "CompressedListStorageCheckpointer",
    "ListStorageCheckpointer",
    "StorageEnsembleCheckpointer",
    "TensorStorageCheckpointer",
]


class _Plain(StorageCheckpointerBase):
    """Leaves the work to the storage, which must be of one kind."""

    kind = ""

    def write(self, storage: Storage, folder: Path) -> dict[str, Any]:
        """Write the rows as the storage does by itself."""
        described = storage.describe()
        if described["storage"] != self.kind:
            raise SpecError(
                f"`{type(self).__name__}` saves a {self.kind} storage, given {storage!r}. Leave "
                "`checkpointer` out to get the one that fits."
            )
        storage.write_rows(folder)
        return described

    def read(self, storage: Storage, folder: Path, described: dict[str, Any]) -> None:
        """Read the rows as the storage does by itself."""
        storage.read_rows(folder, described)


class TensorStorageCheckpointer(_Plain):
    """Saves tensor storages as the memory maps of a TensorDict: what they do by default.

    Example:
        >>> from rl.data import LazyTensorStorage
        >>> storage = LazyTensorStorage(10, checkpointer=TensorStorageCheckpointer())
        >>> storage.checkpointer.format
        'rows'
    """

    kind = "tensor"


class ListStorageCheckpointer(_Plain):
    """Saves lists as JSON and safetensors: what they do by default.

    Example:
        >>> from rl.data import ListStorage
        >>> ListStorage(10, checkpointer=ListStorageCheckpointer()).checkpointer.format
        'rows'
    """

    kind = "list"


class CompressedListStorageCheckpointer(_Plain):
    """Saves compressed lists as they are, compressed: what they do by default.

    Example:
        >>> CompressedListStorageCheckpointer().kind
        'compressed list'
    """

    kind = "compressed list"


class StorageEnsembleCheckpointer(_Plain):
    """Saves each storage of an ensemble by its own checkpointer: what they do by default.

    Example:
        >>> StorageEnsembleCheckpointer().kind
        'ensemble'
    """

    kind = "ensemble"
