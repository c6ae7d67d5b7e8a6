"""What a receiver takes, loads and confirms."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable

from rl.core.errors import WorkerError
from rl.core.weights.board import Board
from rl.core.weights.peer import wait_until
from rl.core.weights.transport import InitialSyncTransport, TransportBackend
from rl.core.weights.versioned import Weights
from rl.core.weights.watch import Watch

__all__ = ["Inbox"]


class Inbox:
    """The updates for one receiver.

    Args:
        board: where they are announced, and confirmed.
        watch: knows what became of the sender.
        transport: carries them.
        worker: the receiver's number.
        timeout_s: the longest wait for an update that is on its way, in seconds.

    Example:
        >>> board = Board(1)
        >>> inbox = Inbox(board, Watch(board), None, 0, 1.0)
        >>> board.receiver(0) is None
        False
    """

    def __init__(
        self,
        board: Board,
        watch: Watch,
        transport: TransportBackend,
        worker: int,
        timeout_s: float,
    ) -> None:
        self._board, self._watch, self._worker = board, watch, worker
        self._timeout_s = timeout_s
        # a copy of its own: what was taken so far is counted in it
        self.transport = copy.copy(transport)
        board.join(worker)
        if isinstance(self.transport, InitialSyncTransport):
            self.transport.setup_connection_and_weights_on_receiver(worker_idx=worker)

    def take(self, after: int, timeout_s: float) -> Weights | None:
        """Return the newest update, None if none is announced in time.

        An update that is announced is on its way, and is waited for as long as other processes
        are: so every receiver that looks after a `send` has what was sent.

        Args:
            after: the version that is loaded.
            timeout_s: the longest wait for an announcement, in seconds.

        Raises:
            WorkerError: an announced update does not come, though the sender lives.
        """
        board, gone = self._board, self._watch.is_sender_gone
        if not wait_until(lambda: board.due(self._worker) > after, timeout_s, gone):
            return None
        due = board.due(self._worker)
        found: list[Weights] = []

        def look() -> bool:
            weights = self.transport.receive_weights(timeout=0.0)
            if weights is not None:
                found[:] = [weights]
            return bool(found) and found[0].version >= due

        if not wait_until(look, self._timeout_s, gone) and not gone():
            raise WorkerError(
                f"Version {due} was announced and did not come within {self._timeout_s:g} s: raise "
                "`timeout_s` if the weights are large."
            )
        return found[0] if found else None

    def load(self, weights: Weights, put: Callable[[Weights], None]) -> None:
        """Put an update where it belongs and confirm it, or tell the sender why not."""
        try:
            put(weights)
        except Exception:
            self._board.refuse(self._worker, weights.version, traceback.format_exc())
            raise
        self._board.confirm(self._worker, weights.version, weights.checksum)

    def close(self) -> None:
        """Say that nothing more is taken."""
        self._board.leave(self._worker)
