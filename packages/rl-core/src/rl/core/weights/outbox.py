"""What a sender has sent, and who has confirmed it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from rl.core.errors import WorkerError
from rl.core.weights.board import Board
from rl.core.weights.naming import WeightsError
from rl.core.weights.peer import wait_until
from rl.core.weights.versioned import Weights
from rl.core.weights.watch import Watch

__all__ = ["Outbox"]


class Outbox:
    """The newest update that was sent to each receiver.

    Args:
        board: where receivers confirm.
        watch: knows what became of them.

    Example:
        >>> board = Board(1)
        >>> outbox = Outbox(board, Watch(board))
        >>> outbox.note({0: Weights(2, 7, {})})
        >>> board.confirm(0, version=2, checksum=7)
        >>> outbox.wait(timeout_s=1.0)
    """

    def __init__(self, board: Board, watch: Watch) -> None:
        self._board, self._watch = board, watch
        self._sent: dict[int, tuple[int, int]] = {}
        #: the newest refusal of each receiver that was raised
        self._raised: dict[int, int] = {}

    def note(self, by_worker: Mapping[int, Weights]) -> None:
        """Announce what was sent."""
        for worker, weights in by_worker.items():
            self._sent[worker] = (weights.version, weights.checksum)
            self._board.announce(worker, weights.version)

    def check(self, workers: Iterable[int]) -> None:
        """Raise if one of the receivers is known to take nothing.

        Raises:
            WorkerError: it is gone, or refused an earlier update.
        """
        _raise_any([self._failure(worker, self._raised.get(worker, -1) + 1) for worker in workers])

    def wait(self, timeout_s: float, workers: Iterable[int] | None = None) -> None:
        """Wait until receivers have confirmed what was sent to them last.

        Args:
            timeout_s: the longest wait for all of them, in seconds.
            workers: the receivers; all if None.

        Raises:
            WorkerError: a receiver is gone, silent, or refused the update.
            WeightsError: a receiver confirmed other weights.
        """
        deadline = time.monotonic() + timeout_s
        chosen = self._sent if workers is None else workers
        _raise_any([self._wait_for(worker, deadline, timeout_s) for worker in chosen])

    def _wait_for(self, worker: int, deadline: float, timeout_s: float) -> str | None:
        """Return why a receiver has not loaded what was sent to it, None if it has."""
        board, failure = self._board, []
        version, checksum = self._sent[worker]

        def has_failed() -> bool:
            failure[:] = filter(None, [self._failure(worker, version)])
            return bool(failure)

        if not wait_until(
            lambda: board.loaded(worker) >= version,
            max(0.0, deadline - time.monotonic()),
            has_failed,
        ):
            return failure[0] if failure else self._watch.silence(worker, version, timeout_s)
        if board.checksum(worker) != checksum:
            raise WeightsError(
                f"Worker {worker} of {board.num_workers} confirmed version {version} with checksum "
                f"{board.checksum(worker)}, sent was {checksum}: make the scheme anew."
            )
        return None

    def _failure(self, worker: int, since: int) -> str | None:
        refusal = self._watch.refusal(worker, since)
        if refusal is None:
            return self._watch.end(worker)
        self._raised[worker], text = refusal
        return text


def _raise_any(failures: Iterable[str | None]) -> None:
    found = [text for text in failures if text]
    if found:
        raise WorkerError("\n\n".join(found))
