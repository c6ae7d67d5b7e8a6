"""Storages: where the rows of a buffer live."""

from rl.data.storages.base import Storage
from rl.data.storages.compressed_storage import CompressedListStorage
from rl.data.storages.ensemble import StorageEnsemble
from rl.data.storages.h5_storage import H5Storage
from rl.data.storages.lazy_stack_storage import LazyStackStorage
from rl.data.storages.lazy_tensor_storage import LazyTensorStorage
from rl.data.storages.list_storage import ListStorage
from rl.data.storages.memmap_storage import LazyMemmapStorage
from rl.data.storages.saving import load_storage, save_storage
from rl.data.storages.tensor_storage import TensorStorage

__all__ = [
    "CompressedListStorage",
    "H5Storage",
    "LazyMemmapStorage",
    "LazyStackStorage",
    "LazyTensorStorage",
    "ListStorage",
    "Storage",
    "StorageEnsemble",
    "TensorStorage",
    "load_storage",
    "save_storage",
]
