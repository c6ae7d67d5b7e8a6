"""The board on which a sender and its receivers write where they are, in shared memory."""

from __future__ import annotations

import os

import numpy as np
import torch

__all__ = ["Board"]

_PID, _DUE, _LOADED, _CHECKSUM, _REFUSED, _TEXT = range(6)
_WORDS = 8
_TEXT_BYTES = 8192
_NOTHING = -1


class Board:
    """A row of numbers per receiver, and one for the sender.

    Each number has one writer, so that no lock is needed, and a process that is killed leaves
    nothing locked.

    Args:
        num_workers: the number of receivers.

    Example:
        >>> board = Board(1)
        >>> board.confirm(0, version=3, checksum=7)
        >>> board.loaded(0), board.checksum(0)
        (3, 7)
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._rows = torch.full((num_workers + 1, _WORDS), _NOTHING, dtype=torch.int64)
        self._rows.share_memory_()
        self._texts = torch.zeros(num_workers, _TEXT_BYTES, dtype=torch.uint8).share_memory_()
        self._sender[_PID] = os.getpid()

    @property
    def _sender(self) -> np.ndarray:
        return self._rows[self.num_workers].numpy()

    def _row(self, worker: int) -> np.ndarray:
        return self._rows[worker].numpy()

    # ------------------------------------------------------ written by the sender

    @property
    def sender(self) -> int | None:
        """The sender's process; None when it has ended its work."""
        pid = int(self._sender[_PID])
        return None if pid == _NOTHING else pid

    def close(self) -> None:
        """Say that nothing more will be sent."""
        self._sender[_PID] = _NOTHING

    def announce(self, worker: int, version: int) -> None:
        """Say that a receiver is to load this version."""
        self._row(worker)[_DUE] = version

    def due(self, worker: int) -> int:
        """Return the version that a receiver is to load, -1 for none."""
        return int(self._row(worker)[_DUE])

    # ---------------------------------------------------- written by the receiver

    def join(self, worker: int) -> None:
        """Say that this process is the receiver, and has loaded nothing."""
        row = self._row(worker)
        row[_LOADED] = row[_REFUSED] = _NOTHING
        row[_PID] = os.getpid()

    def leave(self, worker: int) -> None:
        """Say that nothing more will be loaded."""
        self._row(worker)[_PID] = 0

    def confirm(self, worker: int, version: int, checksum: int) -> None:
        """Say what was loaded."""
        row = self._row(worker)
        row[_CHECKSUM] = checksum
        row[_LOADED] = version

    def refuse(self, worker: int, version: int, text: str) -> None:
        """Say that a version could not be loaded, and why."""
        # the end of a traceback tells more than its head
        data = text.encode()[-_TEXT_BYTES:]
        self._texts[worker, : len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        row = self._row(worker)
        row[_TEXT] = len(data)
        row[_REFUSED] = version

    def receiver(self, worker: int) -> int | None:
        """Return the receiver's process: None before it joined, 0 after it left."""
        pid = int(self._row(worker)[_PID])
        return None if pid == _NOTHING else pid

    def loaded(self, worker: int) -> int:
        """Return the version that a receiver has, -1 for none."""
        return int(self._row(worker)[_LOADED])

    def checksum(self, worker: int) -> int:
        """Return the checksum of what a receiver loaded last."""
        return int(self._row(worker)[_CHECKSUM])

    def refused(self, worker: int) -> tuple[int, str]:
        """Return the version that a receiver refused last, -1 for none, and why."""
        row = self._row(worker)
        version = int(row[_REFUSED])
        if version == _NOTHING:
            return version, ""
        data = self._texts[worker, : int(row[_TEXT])].numpy().tobytes()
        return version, data.decode(errors="replace")
