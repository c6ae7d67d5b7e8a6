"""A replay buffer in a process or thread of its own, and what workers write and sample with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn, Self

from tensordict import TensorDictBase
from torch import Tensor

from rl.core.errors import RLError
from rl.core.services import (
    ServiceCalls,
    ServiceClient,
    default_service_backend,
    load_service_backend,
)
from rl.data.buffers.replay_buffer import ReplayBuffer

__all__ = ["BUFFER_CALLS", "ReplayBufferClient", "ReplayBufferService", "made_buffer"]

#: what workers and the owner may ask a buffer for
BUFFER_CALLS = ServiceCalls(
    client=frozenset(
        (
            "__len__",
            "add",
            "attribute",
            "can_sample",
            "extend",
            "sample",
            "update_priority",
            "update_tensordict_priority",
        )
    ),
    owner=frozenset(("dumps", "empty", "load_state_dict", "loads", "state_dict")),
    end="shutdown",
)
# what `attribute` tells
_ATTRIBUTES = ("batch_size", "priority_key", "write_count")


class _RemoteBuffer:
    """Has a buffer elsewhere do what it is asked; returns when it is done."""

    def __init__(self, remote: Any) -> None:  # noqa: ANN401
        self._remote = remote
        self._priority_key: Any = None

    def add(self, data: Any) -> int | Tensor:  # noqa: ANN401
        """Write one row; see `ReplayBuffer.add`."""
        return self._remote.call("add", data)

    def extend(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write a batch of rows; see `ReplayBuffer.extend`."""
        return self._remote.call("extend", data)

    def sample(self, batch_size: int | None = None, return_info: bool = False) -> Any:  # noqa: ANN401
        """Return a batch; see `ReplayBuffer.sample`."""
        return self._remote.call("sample", batch_size, return_info)

    def can_sample(self, batch_size: int | None = None) -> bool:
        """Return whether the buffer holds at least a batch."""
        return self._remote.call("can_sample", batch_size)

    def update_priority(self, index: Any, priority: Tensor | float) -> None:  # noqa: ANN401
        """Set priorities; see `ReplayBuffer.update_priority`."""
        self._remote.call("update_priority", index, priority)

    def update_tensordict_priority(self, data: TensorDictBase) -> None:
        """Set the priorities of a batch; see `TensorDictReplayBuffer.update_tensordict_priority`.

        Only its index and priorities are sent.
        """
        if self._priority_key is None:
            self._priority_key = self._remote.call("attribute", "priority_key")
        part = data.select("index", self._priority_key, strict=False)
        self._remote.call("update_tensordict_priority", part)

    def __len__(self) -> int:
        return self._remote.call("__len__")

    @property
    def batch_size(self) -> int | None:
        """Size of a batch unless `sample` is told another."""
        return self._remote.call("attribute", "batch_size")

    @property
    def write_count(self) -> int:
        """Number of rows that all writers have written."""
        return self._remote.call("attribute", "write_count")


class ReplayBufferClient(_RemoteBuffer):
    """What workers write to and sample from a buffer with, which runs elsewhere.

    `ReplayBufferService.client` makes it. That of a process can be pickled and used by any process
    of this machine.

    Args:
        remote: asks the buffer.

    Raises:
        WorkerError: the call raised where the buffer is (with its traceback), or that is gone or
            silent. It is the `RuntimeError` of a buffer that is sampled while it is empty, too.

    Example:
        >>> import torch
        >>> from rl.data import LazyTensorStorage
        >>> make = partial(ReplayBuffer, storage=partial(LazyTensorStorage, 10), batch_size=2)
        >>> with ReplayBufferService(make, service_backend="thread") as buffer:
        ...     client = buffer.client()
        ...     client.can_sample(), client.add({"x": torch.zeros(1)}), client.sample(3)["x"].shape
        (False, 0, torch.Size([3, 1]))
    """

    _remote: ServiceClient

    def with_timeout(self, timeout: float | None) -> ReplayBufferClient:
        """Return a client that waits so many seconds for a call."""
        return ReplayBufferClient(self._remote.with_timeout(timeout))

    def close(self) -> None:
        """End this client's connection; the buffer goes on, and the next call connects again."""
        self._remote.close()


class ReplayBufferService(_RemoteBuffer):
    """Runs a replay buffer elsewhere, for several processes that write and sample at once.

    It starts when it is made. Calls of all clients are made one by one. Batches of a process are
    copies, on the CPU; its random numbers are those of that process, so give the buffer a
    `generator` (in `make`) to seed it.

    Args:
        make: makes the buffer, where it runs; for a process, a function of a module or a
            `functools.partial` of a class.
        service_backend: `"process"`, `"thread"`, or what a wheel brings; by default what the
            context manager `service_backend` set, else `"process"`.
        service_backend_options: of the backend, such as `timeout`, `max_queue_size`,
            `startup_timeout`, `mp_context`; see `ProcessService`, `ThreadService`.

    Raises:
        WorkerError: the buffer could not be made (with its traceback), or not in time; later, when
            a call raised there, or that is gone or silent.
        NotRegisteredError: the backend is unknown, or `"direct"`.
        MissingDependencyError: the backend comes with a wheel that is not installed.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> storage = partial(LazyTensorStorage, 100)
        >>> make = partial(TensorDictReplayBuffer, storage=storage, batch_size=4)
        >>> buffer = ReplayBufferService(make, service_backend="process")
        >>> client = buffer.client()  # can be sent to workers
        >>> client.extend(TensorDict({"x": torch.arange(5)}, [5]))
        tensor([0, 1, 2, 3, 4])
        >>> client.sample()["x"].shape, len(buffer)
        (torch.Size([4]), 5)
        >>> buffer.shutdown()
    """

    def __init__(
        self,
        make: Callable[[], ReplayBuffer],
        *,
        service_backend: str | None = None,
        service_backend_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.service_backend = service_backend or default_service_backend("process")
        run = load_service_backend(self.service_backend)
        if not callable(make):
            raise TypeError(
                f"`make` is a {type(make).__qualname__}, expected a function that makes the buffer "
                "where it runs, such as `functools.partial(ReplayBuffer, storage=...)`."
            )
        options = dict(service_backend_options or {})
        service = run(partial(made_buffer, make), BUFFER_CALLS, name="buffer", **options)
        super().__init__(service.start())

    def __getstate__(self) -> NoReturn:
        raise RLError(
            "A `ReplayBufferService` stays in the process that made it: give workers "
            "`buffer.client()`."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def start(self) -> Self:
        """Return this service, which runs since it was made."""
        return self

    @property
    def is_alive(self) -> bool:
        """Whether the buffer runs."""
        return self._remote.is_alive

    def client(self) -> ReplayBufferClient:
        """Return what workers write and sample with."""
        return ReplayBufferClient(self._remote.client())

    def shutdown(self, timeout: float | None = None) -> None:
        """End the buffer, whose rows are lost; nothing when that was done.

        Args:
            timeout: seconds given to it, those of the calls by default.
        """
        self._remote.shutdown(timeout)

    def empty(self, empty_write_count: bool = True) -> None:
        """Forget every row; see `ReplayBuffer.empty`."""
        self._remote.call("empty", empty_write_count)

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state; see `ReplayBuffer.state_dict`."""
        return self._remote.call("state_dict")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned; see `ReplayBuffer.load_state_dict`."""
        self._remote.call("load_state_dict", state_dict)

    def dumps(self, path: str | os.PathLike[str]) -> None:
        """Save the buffer to a folder; see `ReplayBuffer.dumps`."""
        self._remote.call("dumps", os.path.abspath(path))

    def loads(self, path: str | os.PathLike[str]) -> None:
        """Load what `dumps` saved; see `ReplayBuffer.loads`."""
        self._remote.call("loads", os.path.abspath(path))


class _Target:
    """The buffer, and what calls cannot ask of it: its attributes."""

    def __init__(self, buffer: ReplayBuffer) -> None:
        self._buffer = buffer

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._buffer, name)

    def __len__(self) -> int:
        return len(self._buffer)

    def attribute(self, name: str) -> Any:  # noqa: ANN401
        """Return an attribute that clients may know."""
        if name not in _ATTRIBUTES:
            raise RLError(f"`{name}` is not for clients, expected one of {', '.join(_ATTRIBUTES)}.")
        return getattr(self._buffer, name)


def made_buffer(make: Callable[[], ReplayBuffer]) -> object:
    """Return what a service runs for the buffer that `make` makes.

    Raises:
        RLError: it makes no buffer.
    """
    buffer = make()
    if not isinstance(buffer, ReplayBuffer):
        raise RLError(f"{make!r} made a {type(buffer).__qualname__}, expected a `ReplayBuffer`.")
    return _Target(buffer)
