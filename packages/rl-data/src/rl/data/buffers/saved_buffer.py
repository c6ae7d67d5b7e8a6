"""The half of a buffer that saves and restores it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

from rl.data.buffers.parts import check_parts, state_of_parts, take_parts
from rl.data.sharing.sharing import Sharing
from rl.data.storages.base import Checkpointer, Storage
from rl.data.storages.saving import apply_rows, read_saved, save_storage

__all__ = ["SavedBuffer"]


class SavedBuffer:
    """State and files of a buffer; `ReplayBuffer` is the other half.

    Example:
        >>> from rl.data import ReplayBuffer
        >>> issubclass(ReplayBuffer, SavedBuffer)
        True
    """

    _storage: Storage
    _checkpointer: Checkpointer | None
    _lock: AbstractContextManager[Any]
    _sharing: Sharing | None
    _version: int
    _batch_size: int | None

    def _hear(self) -> None:
        """Tell the sampler what other processes wrote."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state; its tensors share memory with the buffer.

        Loaded into a buffer of the same parts, the state makes every later write and draw equal.
        The random state is included if a `generator` was given.
        """
        with self._lock:
            self._hear()
            return {**state_of_parts(self), "_storage": self._storage.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned.

        Raises:
            CheckpointError: the parts are not of the saved kinds.
            SpecError: the storage has another layout or capacity.
        """
        with self._lock:
            check_parts(self, state_dict)
            self._forget_shared()
            self._storage.load_state_dict(state_dict["_storage"])
            self._take_parts(state_dict)

    def dumps(self, path: str | os.PathLike[str]) -> None:
        """Save the buffer to a folder: rows as memory maps, the rest as JSON and safetensors.

        A kill at any moment leaves the save that was there before, or this one.

        Raises:
            CheckpointError: an item of a `ListStorage` is of a kind that cannot be saved.
        """
        with self._lock:
            self._hear()
            state = state_of_parts(self)
            save_storage(path, self._storage, state, checkpointer=self._checkpointer)

    def loads(self, path: str | os.PathLike[str]) -> None:
        """Load what `dumps` saved into this buffer, which must have the same parts.

        Everything is verified before the buffer changes.

        Raises:
            CheckpointError: a file is missing, damaged, foreign or of a newer format (the message
                names it), or the parts are not of the saved kinds.
        """
        with self._lock:
            saved = read_saved(path, self._storage, checkpointer=self._checkpointer)
            check_parts(self, saved["rest"])
            self._forget_shared()
            apply_rows(path, self._storage, saved, checkpointer=self._checkpointer)
            self._take_parts(saved["rest"])

    save = dump = dumps
    load = loads

    def _forget_shared(self) -> None:
        """Empty a shared buffer first, so that a kill while rows are loaded leaves none torn."""
        if self._sharing is not None:
            self._storage.empty()
            self._sharing.replaced(heard=False)

    def _take_parts(self, state: dict[str, Any]) -> None:
        self._version += 1
        take_parts(self, state)
        self._batch_size = state["_batch_size"]
        if self._sharing is not None:
            self._sharing.replaced(heard=True)
