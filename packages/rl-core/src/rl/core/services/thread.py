"""A service in a thread of this process."""

from __future__ import annotations

import atexit
import queue
import secrets
import threading

from rl.core.services.channel import Channel, DirectChannel, SocketChannel
from rl.core.services.engine import SHUTDOWN, Engine, failed
from rl.core.services.listener import Listener
from rl.core.services.owner import LocalService
from rl.core.services.wire import TOKEN_BYTES

__all__ = ["ThreadService"]

_EXIT_TIMEOUT_S = 5.0


class ThreadService(LocalService):
    """Runs an object in a thread of this process, which makes all its calls.

    With the transport `"direct"`, the default, arguments and results are the objects themselves,
    and clients stay in this process; with `"socket"` they are copies, and clients can be sent to
    other processes of this machine. A thread cannot be killed: one that is stuck when the service
    ends is left alone, and takes no more calls. The object is ended when the process exits.

    Args:
        make: see `LocalService`, as all other arguments.
        calls: which methods may be called.
        name: what errors call the service.
        transport: `"direct"` or `"socket"`.
        max_queue_size: how many calls may wait.
        startup_timeout: seconds until the object must be made.
        timeout: seconds until any call must be made.

    Example:
        >>> from collections import Counter
        >>> from rl.core.services import ServiceCalls
        >>> calls = ServiceCalls(client={"update", "total"}, owner={"clear"})
        >>> service = ThreadService(Counter, calls, name="letters").start()
        >>> client = service.client()
        >>> client.call("update", "abba")
        >>> client.call("total")
        4
        >>> service.call("clear")
        >>> client.call("total")
        0
        >>> service.shutdown()
        >>> service.is_alive
        False
    """

    service_backend = "thread"
    transports = ("direct", "socket")

    _engine: Engine
    _thread: threading.Thread
    _listener: Listener | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it takes calls."""
        return self._owner is not None and not self._is_over and self._thread.is_alive()

    def _launch(self, timeout_s: float) -> Channel:
        made: queue.SimpleQueue[Engine | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, args=(made,), name=f"rl-{self.name}", daemon=True
        )
        self._thread.start()
        try:
            engine = made.get(timeout=timeout_s)
        except queue.Empty:
            raise self._not_in_time(timeout_s) from None
        if not isinstance(engine, Engine):
            error = failed(engine)
            raise self._not_made(error.error, error.traceback) from engine
        self._engine = engine
        atexit.register(self._at_exit)
        of_owner = self.calls.of_owner | {SHUTDOWN}
        if self.transport == "socket":
            self._client_token = secrets.token_bytes(TOKEN_BYTES)
            token = secrets.token_bytes(TOKEN_BYTES)
            tokens = {token: of_owner, self._client_token: self.calls.client}
            self._listener = Listener(engine, tokens)
            self._listener.start()
            return SocketChannel(self.name, self._listener.port, token)
        return DirectChannel(self.name, engine, of_owner)

    def _run(self, made: queue.SimpleQueue[Engine | BaseException]) -> None:
        try:
            engine = Engine(self._make(), self.calls, self._max_queue_size)
        except BaseException as error:  # it is raised where the service is started
            made.put(error)
            return
        made.put(engine)
        if self._is_over:  # it was made too late
            engine.stop()
        engine.run()

    def _client_channel(self) -> Channel:
        if self._listener is not None:
            return SocketChannel(self.name, self._listener.port, self._client_token)
        return DirectChannel(self.name, self._engine, self.calls.client)

    def _join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _end(self) -> None:
        atexit.unregister(self._at_exit)
        self._engine.refuse()
        self._engine.stop()
        if self._listener is not None:
            self._listener.close()

    def _at_exit(self) -> None:
        self._engine.stop()
        self._thread.join(_EXIT_TIMEOUT_S)
