"""The conformance kit of services: does a backend run an object as every backend does?"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import NonTensorData, TensorDict, TensorDictBase

from rl.core.errors import WorkerError
from rl.core.services.base import Service, ServiceCalls
from rl.core.services.client import ServiceClient

__all__ = ["ServiceProbe", "check_service"]

# how long a caller may wait for a service that is gone
_GONE_S = 5.0
_CALLS = 25


class ServiceProbe:
    """What the kit has a backend run.

    Args:
        end_file: touched when it is ended.

    Example:
        >>> probe = ServiceProbe("ended")
        >>> probe.count(), probe.count()
        (1, 2)
    """

    service_calls = ServiceCalls(
        client={"count", "echo", "fail", "sleep"}, owner={"reset"}, end="close"
    )

    def __init__(self, end_file: str) -> None:
        self._end_file, self._count = end_file, 0

    def count(self) -> int:
        """Return the number of calls of this."""
        seen = self._count
        time.sleep(0)  # other threads may run, if calls are made by several
        self._count = seen + 1
        return self._count

    def reset(self) -> None:
        """Count from the start."""
        self._count = 0

    def echo(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Return what was given, as a list and a dict.

        Args:
            *args: anything.
            **kwargs: anything.
        """
        return [list(args), kwargs]

    def fail(self, text: str) -> None:
        """Raise."""
        raise ZeroDivisionError(text)

    def sleep(self, seconds: float) -> None:
        """Take so long."""
        time.sleep(seconds)

    def hidden(self) -> None:
        """Be of no use to clients: it is not declared."""

    def close(self) -> None:
        """Note that this was called."""
        with open(self._end_file, "a") as file:
            file.write("ended\n")


def check_service(
    make: Callable[..., Any],
    *,
    workers: bool = True,
    kill: Callable[[Any], object] | None = None,
) -> None:
    """Raise unless what `make` returns is a service.

    It checks that values come and go as they are; that clients make their calls and no others;
    that calls of several clients are made one by one; that errors come with name and traceback,
    and the service goes on; that waits are bounded; that it ends once, and ends its object; that
    callers of an ended or killed service are told within 5 s; that an object that cannot be made
    is an error of `start`.

    Args:
        make: returns a new service that was not started, made with `(make_object, calls, name=...)`
            such as `ThreadService`. It is called three times.
        workers: whether clients can be sent to other processes of this machine.
        kill: kills the service, as far as it can be.

    Raises:
        AssertionError: names the property that does not hold.

    Example:
        >>> from rl.core.services import ThreadService
        >>> check_service(ThreadService, workers=False)
    """
    with tempfile.TemporaryDirectory() as folder:
        end_file = Path(folder, "ended")
        with _served(make, end_file) as service:
            _check_start(service)
            client = service.client()
            _check_values(service, client)
            _check_permissions(service, client)
            _check_errors(service, client)
            _check_waits(service, client)
            _check_order(service)
            if workers:
                _check_workers(service, client)
            _check_end(service, client, end_file)
        if kill is not None:
            with _served(make, end_file) as service:
                _check_kill(service, kill)
    _check_broken(make)


@contextmanager
def _served(make: Callable[..., Any], end_file: Path) -> Iterator[Any]:
    make_probe = partial(ServiceProbe, str(end_file))
    service = make(make_probe, ServiceProbe.service_calls, name="probe")
    try:
        yield service
    finally:
        with suppress(WorkerError):  # it was killed
            service.shutdown()


def _require(condition: bool, service: object, message: str) -> None:
    if not condition:
        raise AssertionError(f"{type(service).__name__} conformance: {message}.")


def _error_of(call: Callable[[], object]) -> WorkerError | None:
    try:
        call()
    except WorkerError as error:
        return error
    return None


def _check_start(service: Any) -> None:  # noqa: ANN401
    _require(isinstance(service, Service), service, "it lacks a member of `Service`")
    _require(not service.is_alive, service, "it is alive before `start`")
    _require(service.start() is service, service, "`start` does not return it")
    _require(service.start().is_alive, service, "it is not alive after `start` was called twice")


def _check_values(service: Any, client: ServiceClient) -> None:  # noqa: ANN401
    inner = TensorDict({"b": torch.ones(2, 3, dtype=torch.bfloat16)}, batch_size=[2, 3])
    values = {
        "plain": [None, True, 1, -0.5, float("inf"), "ä", (1, (2,)), {"$a": [], "": {}}],
        "tensor": torch.arange(6).reshape(2, 3).T,
        "empty": torch.zeros(0, 2),
        "scalar": torch.tensor(True),
        "array": np.arange(3, dtype=np.int16),
        "nested": TensorDict(
            {"a": torch.zeros(2, 3, 1), "in": inner, "text": NonTensorData("go", batch_size=[2])},
            batch_size=[2],
        ),
    }
    args, kwargs = client.call("echo", 3, **values)
    _require(args == [3], service, f"the argument 3 came back as {args}")
    for name, value in values.items():
        got = kwargs.get(name)
        _require(_equal(got, value), service, f"`{name}` came back as {got}, it was {value}")


def _equal(one: Any, other: Any) -> bool:  # noqa: ANN401
    if type(one) is not type(other):
        return False
    if isinstance(one, TensorDictBase):
        if one.batch_size != other.batch_size or set(one.keys()) != set(other.keys()):
            return False
        return all(_equal(one.get(key), other.get(key)) for key in one.keys())  # noqa: SIM118
    if isinstance(one, torch.Tensor):
        return one.dtype is other.dtype and torch.equal(one, other)
    if isinstance(one, NonTensorData):
        return one.data == other.data and one.batch_size == other.batch_size
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def _check_permissions(service: Any, client: ServiceClient) -> None:  # noqa: ANN401
    _require(client.call("count") == 1, service, "a declared call was not made")
    for call in ("reset", "hidden", "_count", "__init__", "close", "$shutdown"):
        error = _error_of(lambda call=call: client.call(call))
        _require(error is not None, service, f"a client may call `{call}`")
    for call in ("hidden", "__class__"):
        error = _error_of(lambda call=call: service.call(call))
        _require(error is not None, service, f"the owner may call `{call}`, which is not declared")
    _require(client.call("count") == 2, service, "a refused call was made")
    service.call("reset")
    _require(client.call("count") == 1, service, "a call of the owner was not made")


def _check_errors(service: Any, client: ServiceClient) -> None:  # noqa: ANN401
    error = _error_of(lambda: client.call("fail", "on purpose"))
    _require(error is not None, service, "an error of the object does not raise a WorkerError")
    for part in ("`probe`", "`fail`", "ZeroDivisionError: on purpose", "in fail"):
        _require(part in str(error), service, f"the message of an error lacks {part!r}: {error}")
    _require(client.call("count") == 2, service, "it does not go on after an error")


def _check_waits(service: Any, client: ServiceClient) -> None:  # noqa: ANN401
    hurried = client.with_timeout(0.2)
    start = time.monotonic()
    error = _error_of(lambda: hurried.call("sleep", 1.5))
    took_s = time.monotonic() - start
    _require(error is not None, service, "a call longer than its `timeout` raises nothing")
    _require(took_s < 1.4, service, f"a `timeout` of 0.2 s took {took_s:.1f} s")
    _require("`timeout`" in str(error), service, f"the message does not name the fix: {error}")
    _require(client.call("count") == 3, service, "it does not go on after a call that took long")


def _check_order(service: Any) -> None:  # noqa: ANN401
    seen: list[int] = []

    def ask() -> None:
        own = service.client()
        seen.extend(own.call("count") for _ in range(_CALLS))

    service.call("reset")
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = list(range(1, 4 * _CALLS + 1))
    _require(sorted(seen) == expected, service, "calls of several clients are not made one by one")


def _count_in_worker(client: ServiceClient) -> None:
    client.call("count")


def _check_workers(service: Any, client: ServiceClient) -> None:  # noqa: ANN401
    service.call("reset")
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_count_in_worker, args=(client,))
    worker.start()
    worker.join(120)
    _require(worker.exitcode == 0, service, "a client cannot be used in another process")
    _require(client.call("count") == 2, service, "a call from another process was not made")


def _check_end(service: Any, client: ServiceClient, end_file: Path) -> None:  # noqa: ANN401
    service.shutdown()
    _require(not service.is_alive, service, "it is alive after `shutdown`")
    service.shutdown()
    ends = end_file.read_text().count("ended") if end_file.exists() else 0
    _require(ends == 1, service, f"its object was ended {ends} times, expected once")
    _check_gone(service, client)
    try:
        service.start()
    except Exception:
        return
    _require(False, service, "it starts again after `shutdown`")


def _check_gone(service: Any, client: ServiceClient) -> None:  # noqa: ANN401
    for who in (client, service):
        start = time.monotonic()
        error = _error_of(lambda who=who: who.call("count"))
        took_s = time.monotonic() - start
        _require(error is not None, service, "a call of an ended service does not raise")
        _require(took_s < _GONE_S, service, f"that it is gone was told after {took_s:.1f} s")
        _require("`probe` is gone" in str(error), service, f"the message does not say so: {error}")


def _check_kill(service: Any, kill: Callable[[Any], object]) -> None:  # noqa: ANN401
    client = service.start().client()
    client.call("count")
    kill(service)
    _check_gone(service, client)
    deadline = time.monotonic() + _GONE_S
    while service.is_alive and time.monotonic() < deadline:
        time.sleep(0.02)
    _require(not service.is_alive, service, "it is alive after it was killed")


def _check_broken(make: Callable[..., Any]) -> None:
    service = make(_broken, ServiceProbe.service_calls, name="probe")
    error = _error_of(service.start)
    _require(error is not None, service, "an object that cannot be made raises nothing in `start`")
    for part in ("`probe`", "LookupError: no such store", "in _broken"):
        _require(part in str(error), service, f"the message of `start` lacks {part!r}: {error}")
    _require(not service.is_alive, service, "it is alive without an object")


def _broken() -> None:
    raise LookupError("no such store")
