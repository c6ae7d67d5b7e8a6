"""What became of the processes on the other side, in words."""

from __future__ import annotations

from rl.core.weights.board import Board
from rl.core.weights.peer import Peer

__all__ = ["Watch"]


class Watch:
    """Tells of a board's processes whether they live, refused an update, or are only slow.

    Args:
        board: says which processes they are.

    Example:
        >>> watch = Watch(Board(1))
        >>> watch.end(0) is None, watch.is_sender_gone()
        (True, False)
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._peers: dict[int, Peer] = {}

    def refusal(self, worker: int, since: int) -> tuple[int, str] | None:
        """Return the version that a receiver refused, and why; None for none as new as `since`."""
        version, text = self._board.refused(worker)
        if version < max(since, 0):
            return None
        where = self._where(worker)
        return version, f"{where} refused version {version}. Its traceback follows.\n\n{text}"

    def end(self, worker: int) -> str | None:
        """Return how a receiver ended, None for one that runs or has not begun."""
        board, where = self._board, self._where(worker)
        pid = board.receiver(worker)
        if pid is None or (pid and self._is_alive(pid)):
            return None
        loaded = f"with version {board.loaded(worker)} of the weights"
        if pid == 0:
            return f"{where} has ended its work {loaded}. Send to others by `worker_ids=`."
        return (
            f"{where} is gone: its process {pid} ended or was killed, {loaded}. Send to others by "
            "`worker_ids=`."
        )

    def silence(self, worker: int, version: int, timeout_s: float) -> str:
        """Return what to do about a receiver that lives and has not confirmed in time."""
        if self._board.receiver(worker) is None:
            return (
                f"{self._where(worker)} has not called `connect` within {timeout_s:g} s: start it, "
                "or raise `timeout_s`."
            )
        return (
            f"{self._where(worker)} has not confirmed version {version} within {timeout_s:g} s. It "
            "confirms in `receive`, which it calls too seldom: raise `timeout_s`, or pass "
            "`sync=False`."
        )

    def is_sender_gone(self) -> bool:
        """Return whether nothing will be sent any more."""
        pid = self._board.sender
        return pid is None or not self._is_alive(pid)

    def farewell(self) -> str:
        """Return how the sender went."""
        if self._board.sender is None:
            return "The sender has ended its work (`shutdown`)."
        return f"The sender is gone: its process {self._board.sender} ended or was killed."

    def close(self) -> None:
        """Stop watching."""
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()

    def _is_alive(self, pid: int) -> bool:
        if pid not in self._peers:
            self._peers[pid] = Peer(pid)
        return self._peers[pid].is_alive()

    def _where(self, worker: int) -> str:
        return f"Worker {worker} of {self._board.num_workers}"
