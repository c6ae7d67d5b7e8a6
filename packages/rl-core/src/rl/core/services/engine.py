"""What runs where the object of a service lives: it makes the calls, one by one."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from rl.core.errors import RLError, nearest
from rl.core.logging import logger
from rl.core.services.base import ServiceCalls

__all__ = ["SHUTDOWN", "Answer", "Engine", "failed"]

#: what the owner asks for to end the service
SHUTDOWN = "$shutdown"
_ENDED = "it has ended"

_WAKE_UP_S = 0.5


class Answer(NamedTuple):
    """What a call returned, or how it failed.

    Example:
        >>> Answer(3).error is None
        True
    """

    result: Any = None
    error: str | None = None
    traceback: str = ""


def failed(error: BaseException) -> Answer:
    """Return the answer of a call that raised.

    Example:
        >>> failed(ZeroDivisionError("by zero")).error
        'ZeroDivisionError: by zero'
    """
    text = "".join(traceback.format_exception(error))
    return Answer(None, f"{type(error).__qualname__}: {error}", text)


class _Request(NamedTuple):
    call: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    finish: Callable[[Answer], Any]
    answer: Future[Any]


class Engine:
    """Makes the calls of any number of askers in one thread, in the order they came.

    Args:
        target: the object.
        calls: its methods that may be called.
        max_queue_size: how many calls may wait; those after them wait in their askers.
        on_ending: called before the object is ended.

    Example:
        >>> engine = Engine([3, 1], ServiceCalls(client={"index", "sort"}))
        >>> worker = threading.Thread(target=engine.run)
        >>> worker.start()
        >>> engine.ask("index", (1,), {}, allowed={"index"}).result
        1
        >>> engine.ask("sort", (), {}, allowed={"index"}).error
        'RLError: `sort` is not for workers: the owner of the service calls it.'
        >>> engine.stop()
        >>> worker.join()
    """

    def __init__(
        self,
        target: object,
        calls: ServiceCalls,
        max_queue_size: int = 1000,
        on_ending: Callable[[], None] = lambda: None,
    ) -> None:
        self._target, self._calls, self._on_ending = target, calls, on_ending
        # its `put` may be called in a signal handler
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(max_queue_size)
        self._lock = threading.Lock()
        self._has_ended = False

    def ask(
        self,
        call: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        allowed: frozenset[str],
        timeout_s: float | None = None,
        finish: Callable[[Answer], Any] = lambda answer: answer,
    ) -> Any:  # noqa: ANN401
        """Have a call made, and wait for its answer.

        Args:
            call: the method.
            args: its arguments.
            kwargs: its keyword arguments.
            allowed: the methods that the asker may call.
            timeout_s: how long it may take; without end by default.
            finish: applied to the answer before the next call may change what it holds.

        Returns:
            What `finish` returns, by default the answer.

        Raises:
            TimeoutError: it took longer; the call is not made if it still waited.
            ConnectionError: the service has ended.
        """
        if call not in allowed:
            return finish(failed(self._refusal(call, allowed)))
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if not self._room.acquire(timeout=timeout_s):
            raise TimeoutError
        request = _Request(call, args, kwargs, finish, Future())
        try:
            self._put(request)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return request.answer.result(left)
        except TimeoutError:
            request.answer.cancel()
            raise
        finally:
            self._room.release()

    def run(self) -> bool:
        """Make calls until `stop` or the call `SHUTDOWN`; tell whether it was the call.

        The object is ended before this returns.
        """
        while (request := self._next()) is not None and request.call != SHUTDOWN:
            if request.answer.set_running_or_notify_cancel():
                request.answer.set_result(
                    _finished(request, self._called(request.call, *request.args, **request.kwargs))
                )
        self._on_ending()
        answer = self._end_target()
        self.refuse()
        if request is not None and request.answer.set_running_or_notify_cancel():
            request.answer.set_result(_finished(request, answer))
        elif answer.error is not None:
            logger.error("A service failed when it ended: %s\n%s", answer.error, answer.traceback)
        return request is not None

    def _next(self) -> _Request | None:
        """Return the request that has waited longest, `None` if the service is to stop."""
        while True:
            # a signal that comes just before a wait is handled after it: wake up for it
            with contextlib.suppress(queue.Empty):
                return self._requests.get(timeout=_WAKE_UP_S)

    def stop(self) -> None:
        """End after the calls that wait now."""
        self._requests.put(None)

    def refuse(self) -> None:
        """Take no more calls; those that wait are not made."""
        with self._lock:
            self._has_ended = True
        with contextlib.suppress(queue.Empty):
            while True:
                request = self._requests.get_nowait()
                if request is not None and request.answer.set_running_or_notify_cancel():
                    request.answer.set_exception(ConnectionError(_ENDED))

    def _put(self, request: _Request) -> None:
        with self._lock:
            if self._has_ended:
                raise ConnectionError(_ENDED)
            self._requests.put(request)

    def _refusal(self, call: str, allowed: frozenset[str]) -> RLError:
        if call == SHUTDOWN or call in self._calls.of_owner:
            return RLError(f"`{call}` is not for workers: the owner of the service calls it.")
        known = nearest(call, allowed - {SHUTDOWN})
        return RLError(f"`{call}` is not among the calls of the service. {known}")

    def _called(self, call: str, /, *args: Any, **kwargs: Any) -> Answer:
        try:
            return Answer(getattr(self._target, call)(*args, **kwargs))
        except BaseException as error:  # also of `sys.exit`: the askers wait
            return failed(error)

    def _end_target(self) -> Answer:
        if self._calls.end is None:
            return Answer()
        return self._called(self._calls.end)._replace(result=None)


def _finished(request: _Request, answer: Answer) -> Any:  # noqa: ANN401
    try:
        return request.finish(answer)
    except Exception as error:
        return request.finish(failed(error))
