"""What runs in the process of a service: it serves an object, and ends with its parent."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any

from rl.core.services.base import ServiceCalls
from rl.core.services.engine import Engine, failed
from rl.core.services.listener import Listener

__all__ = ["read_report", "run_service"]

# an object that does not end in this time is left to the operating system
_END_TIMEOUT_S = 30.0


def run_service(
    make: Callable[[], object],
    calls: ServiceCalls,
    tokens: Mapping[bytes, frozenset[str]],
    max_queue_size: int,
    report: Connection,
) -> None:
    """Make an object and serve it until it is shut down or the parent process ends.

    Args:
        make: makes the object.
        calls: its methods that may be called.
        tokens: the calls that each token allows.
        max_queue_size: how many calls may wait; those after them wait in their senders.
        report: takes what `read_report` returns: `{"port"}`, or `{"error", "traceback"}`.
    """
    # the parent decides when the service ends, also after Ctrl-C in the terminal of both
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        engine = Engine(make(), calls, max_queue_size, on_ending=_end_in_time)
        listener = Listener(engine, tokens)
    except BaseException as error:
        _tell(report, failed(error)._asdict())
        return

    def stop(*_: object) -> None:
        # after the calls that wait, or without them when one does not return
        _end_in_time()
        engine.stop()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    listener.start()
    _tell(report, {"port": listener.port})
    report.close()
    if engine.run():
        listener.wait_for_goodbye()


def read_report(report: Connection, timeout_s: float) -> dict[str, Any] | None:
    """Return what the process told about its start, `None` when it told nothing in time.

    Raises:
        EOFError: the process ended before.
    """
    return json.loads(report.recv_bytes()) if report.poll(timeout_s) else None


def _tell(report: Connection, message: dict[str, Any]) -> None:
    report.send_bytes(json.dumps(message).encode())


def _watch_parent(stop: Callable[[], None]) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        # forked siblings may hold the sentinel open: the parent's number tells too
        number = os.getppid()
        while not wait([parent.sentinel], timeout=1.0) and os.getppid() == number:
            pass
        stop()


def _end_in_time() -> None:
    """End the process after a while, whatever it is stuck in."""
    timer = threading.Timer(_END_TIMEOUT_S, os._exit, [1])
    timer.daemon = True
    timer.start()
