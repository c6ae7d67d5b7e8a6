"""The rows, the cursor and the lock of a buffer that several processes have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rl.core.errors import SpecError
from rl.data.sharing.journal import JournaledColumns
from rl.data.sharing.numbers import SharedNumbers
from rl.data.sharing.process_lock import ProcessLock
from rl.data.storages.base import Storage
from rl.data.storages.lazy_tensor_storage import LazyTensorStorage
from rl.data.storages.memmap_storage import LazyMemmapStorage
from rl.data.writers.base import Writer
from rl.data.writers.round_robin import RoundRobinWriter

__all__ = ["Sharing"]

_NUMBERS = "numbers.i64"


class Sharing:
    """Keeps a storage and a writer the same in every process that has them.

    A context manager: on entering, the process has the buffer for itself, and storage and writer
    know what the others did; on leaving, the others can know what it did. A write that its process
    did not finish, because it was killed or raised, is taken back.

    Args:
        storage: a `LazyMemmapStorage`, or a `LazyTensorStorage(shared_init=True)`.
        writer: a `RoundRobinWriter` without generation stamps.
        timeout_s: longest wait for the buffer.
        fresh: whether this process is the first; by default if the storage's folder knows none.

    Raises:
        SpecError: storage or writer cannot be shared.
        FileExistsError: the storage's folder holds rows of another buffer.

    Example:
        >>> from rl.data import LazyTensorStorage, ReplayBuffer
        >>> rb = ReplayBuffer(storage=LazyTensorStorage(9, shared_init=True), shared=True)
        >>> index = rb.extend({"x": torch.arange(3)})
        >>> rb.shared, len(rb)
        (True, 3)
    """

    def __init__(
        self, storage: Storage, writer: Writer, timeout_s: float, *, fresh: bool | None = None
    ) -> None:
        self.storage = _shareable(storage)
        if not isinstance(writer, RoundRobinWriter) or writer.tracks_generations:
            raise SpecError(
                f"A shared buffer cannot have {writer!r}: use a `RoundRobinWriter` or a "
                "`TensorDictRoundRobinWriter` without `track_generations`."
            )
        self.writer = writer
        folder = self.storage.files.folder
        if fresh is None:
            fresh = not (folder / _NUMBERS).exists()
        if fresh:
            _check_folder(self.storage, folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.storage.files.replace = True  # what is there unallocated is what the dead left
        self._undo_folder = folder / "undo"
        self._numbers = SharedNumbers(folder / _NUMBERS, fresh=fresh)
        self._lock = ProcessLock.of(folder / "lock", timeout_s)
        self._bump = 0
        self._heard_total = 0
        self._heard_epoch = 0
        if fresh:
            self._lock.acquire()
            self._push()
            self._lock.release()

    # ------------------------------------------------------------- the lock

    def __enter__(self) -> Sharing:
        self._lock.acquire()
        if self._lock.depth == 1:
            try:
                self._pull()
            except BaseException:
                self._lock.release()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._lock.depth == 1:
                if kind is None:
                    self._push()
                else:
                    self._pull()  # takes an unfinished write back
        finally:
            self._lock.release()

    def _pull(self) -> None:
        now = self._numbers.read()
        if now.allocated and not isinstance(self.storage.columns, JournaledColumns):
            self.storage.map_files()
            self._journal(fresh=False)
        if now.undo:
            self.storage.columns.undo()
            self._numbers.change(undone=now.undone + 1)
        self.storage.set_num_rows(now.rows)
        self.writer.load_state_dict({"cursor": now.cursor, "write_count": now.write_count})

    def _push(self) -> None:
        now = self._numbers.read()
        if self.storage.initialized and not now.allocated:
            self._journal(fresh=True)
        count = self.writer.write_count
        written = count - now.write_count if count > now.write_count else 0
        values = {
            "allocated": int(self.storage.initialized),
            "rows": self.storage.num_rows,
            "cursor": self.writer.cursor,
            "write_count": count,
            "total": now.total + written,
            "epoch": now.epoch + self._bump,
            "undo": 0,
        }
        self._bump = 0
        if any(getattr(now, name) != value for name, value in values.items()):
            self._numbers.change(**values)

    def _journal(self, *, fresh: bool) -> None:
        columns = self.storage.columns
        self.storage.columns = JournaledColumns(
            columns, self._undo_folder, self._numbers, fresh=fresh
        )

    # --------------------------------------------------------------- news

    @property
    def num_rows(self) -> int:
        """Rows in use, read without waiting."""
        return self._numbers.read().rows

    @property
    def write_count(self) -> int:
        """Rows written by all processes, read without waiting."""
        return self._numbers.read().write_count

    @property
    def undone(self) -> int:
        """How many unfinished writes of dead processes were taken back."""
        return self._numbers.read().undone

    def news(self) -> tuple[bool, Tensor] | None:
        """Return what happened since the last call; the caller holds the lock.

        Returns:
            Whether all rows were replaced, and the rows written since; None if nothing happened.
        """
        self._push()
        now = self._numbers.read()
        emptied = now.epoch != self._heard_epoch
        count = now.rows if emptied else min(now.total - self._heard_total, now.rows)
        self._heard_total, self._heard_epoch = now.total, now.epoch
        if not emptied and not count:
            return None
        rows = torch.arange(now.cursor - count, now.cursor) % max(1, self.storage.max_rows)
        return emptied, torch.arange(now.rows) if emptied else rows

    def replaced(self, *, heard: bool) -> None:
        """Tell the others that all rows were replaced.

        Args:
            heard: whether this process knows already.
        """
        self._bump += 1
        self._push()
        if heard:
            now = self._numbers.read()
            self._heard_total, self._heard_epoch = now.total, now.epoch

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("A `Sharing` is made anew in each process.")


def _shareable(storage: Storage) -> LazyTensorStorage:
    if isinstance(storage, LazyMemmapStorage):
        storage.claim_folder()
        return storage
    if isinstance(storage, LazyTensorStorage) and storage.files is not None:
        return storage
    raise SpecError(
        f"{storage!r} cannot be shared between processes. Use `LazyMemmapStorage(...)`, or "
        "`LazyTensorStorage(..., shared_init=True)`."
    )


def _check_folder(storage: LazyTensorStorage, folder: Path) -> None:
    taken = next(iter(folder.glob("*.memmap")), None) if folder.is_dir() else None
    if taken is not None and not storage.initialized and not getattr(storage, "existsok", True):
        raise FileExistsError(
            f"`{folder}` already holds `{taken.name}`. Pass another `scratch_dir`, or "
            "`existsok=True` to overwrite it."
        )
