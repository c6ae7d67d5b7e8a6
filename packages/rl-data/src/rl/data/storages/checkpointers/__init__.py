"""How the rows of a storage are written to files, and the forms that trajectories take there."""

from rl.data.storages.checkpointers.base import StorageCheckpointerBase
from rl.data.storages.checkpointers.compact import (
    FlatStorageCheckpointer,
    NestedStorageCheckpointer,
)
from rl.data.storages.checkpointers.flat import Flat2TED, TED2Flat
from rl.data.storages.checkpointers.h5 import H5Combine, H5Split, H5StorageCheckpointer
from rl.data.storages.checkpointers.nested import Nested2TED, TED2Nested
from rl.data.storages.checkpointers.plain import (
    CompressedListStorageCheckpointer,
    ListStorageCheckpointer,
    StorageEnsembleCheckpointer,
    TensorStorageCheckpointer,
)

__all__ = [
    "CompressedListStorageCheckpointer",
    "Flat2TED",
    "FlatStorageCheckpointer",
    "H5Combine",
    "H5Split",
    "H5StorageCheckpointer",
    "ListStorageCheckpointer",
    "Nested2TED",
    "NestedStorageCheckpointer",
    "StorageCheckpointerBase",
    "StorageEnsembleCheckpointer",
    "TED2Flat",
    "TED2Nested",
    "TensorStorageCheckpointer",
]
