"""What a receiver takes, loads and confirms."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable

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

    Example:
        >>> board = Board(1)
        >>> inbox = Inbox(board, Watch(board), None, 0)
        >>> board.receiver(0) is None
        False
    """

    def __init__(
        self, board: Board, watch: Watch, transport: TransportBackend, worker: int
    ) -> None:
        self._board, self._watch, self._worker = board, watch, worker
        # a copy of its own: what was taken so far is counted in it
        self.transport = copy.copy(transport)
        board.join(worker)
        if isinstance(self.transport, InitialSyncTransport):
            self.transport.setup_connection_and_weights_on_receiver(worker_idx=worker)

    def take(self, after: int, timeout_s: float) -> Weights | None:
        """Return the newest update, None if none newer than version `after` comes in time.

        What is announced when the wait begins is waited for, though an older update may be there.
        """
        board, found = self._board, list[Weights]()
        due = board.due(self._worker)

        def look() -> bool:
            if board.due(self._worker) > after:
                weights = self.transport.receive_weights(timeout=0.0)
                if weights is not None:
                    found[:] = [weights]
            return bool(found) and found[0].version >= due

        wait_until(look, timeout_s, self._watch.is_sender_gone)
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
