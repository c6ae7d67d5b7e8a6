"""A logger in a process or thread of its own, and what workers log with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any, NoReturn

import torch
from tensordict import TensorDictBase

from rl.core.errors import RLError
from rl.core.loggers.base import Logger
from rl.core.loggers.values import as_video, numbers_of, plain
from rl.core.services.base import ServiceCalls
from rl.core.services.client import ServiceClient
from rl.core.services.owner import LocalService
from rl.core.services.process import ProcessService

__all__ = ["LOGGER_CALLS", "LoggerClient", "ProcessLogger", "ServedLogger", "made_logger"]

#: what workers and the owner may ask a logger for
LOGGER_CALLS = ServiceCalls(
    client=frozenset(("log_scalar", "log_metrics", "log_video", "log_histogram", "log_hparams")),
    owner=frozenset(("flush", "state_dict", "load_state_dict")),
    end="close",
)


class _RemoteLogger(Logger):
    """Has a logger elsewhere do what it is asked; returns when it is done."""

    def __init__(
        self, remote: ServiceClient | LocalService, backend: str, exp_name: str, log_dir: str
    ) -> None:
        super().__init__(exp_name, log_dir)
        self._remote, self._backend = remote, backend

    @property
    def service_backend(self) -> str:
        """Where the logger runs, such as `"process"`."""
        return self._backend

    def _step(self, name: str, step: int | None) -> int | None:  # type: ignore[override]
        # steps are counted over there, where all clients meet
        del name
        return None if step is None else int(step)

    def _write_scalar(self, name: str, value: float, step: int | None) -> None:
        self._remote.call("log_scalar", name, value, step)

    def log_metrics(
        self,
        metrics: Mapping[str, Any] | TensorDictBase,
        step: int | None = None,
        *,
        keys_sep: str = "/",
    ) -> dict[str, float]:
        """Log every number of a nested dict or TensorDict; see `Logger.log_metrics`."""
        numbers = numbers_of(metrics, keys_sep)
        return self._remote.call("log_metrics", numbers, self._step("", step), keys_sep=keys_sep)

    def log_video(
        self, name: str, video: torch.Tensor, step: int | None = None, **kwargs: object
    ) -> None:
        """Log a video; see `Logger.log_video`.

        Args:
            name: its name.
            video: uint8, `[T, C, H, W]` or `[1, T, C, H, W]`.
            step: the step.
            **kwargs: of the logger's own.
        """
        as_video(name, video)  # raises here what is no video
        video = torch.as_tensor(video).detach()
        self._remote.call("log_video", name, video, self._step(name, step), **kwargs)

    def log_hparams(self, cfg: object) -> None:
        """Log settings; what is no number, string or list of them goes as its text."""
        self._remote.call("log_hparams", plain(cfg))

    def log_histogram(
        self,
        name: str,
        data: torch.Tensor | Sequence[float],
        step: int | None = None,
        **kwargs: object,
    ) -> None:
        """Log how values are distributed.

        Args:
            name: its name.
            data: the values, any shape.
            step: the step.
            **kwargs: of the logger's own.
        """
        values = torch.as_tensor(data).detach().float()
        self._remote.call("log_histogram", name, values, step, **kwargs)


class LoggerClient(_RemoteLogger):
    """What a worker logs with: every `log_*` of a logger that runs elsewhere.

    `ProcessLogger.client` makes it; it can be pickled and used by any process of this machine.
    `flush` and `shutdown` are for the owner of the logger.

    Args:
        remote: asks the logger.
        backend: where that runs.
        exp_name: the experiment's name.
        log_dir: the folder it is put in.

    Raises:
        WorkerError: the call raised in the logger's process, or that is gone or silent.

    Example:
        >>> import tempfile
        >>> from rl.core.loggers import CSVLogger
        >>> logger = ProcessLogger(CSVLogger, "run", tempfile.mkdtemp())
        >>> client = logger.client()
        >>> client.log_scalar("loss", 0.5)
        >>> client.flush()
        Traceback (most recent call last):
        rl.core.errors.RLError: `flush` is not for workers: call it on the `ProcessLogger`.
        >>> logger.shutdown()
    """

    _remote: ServiceClient

    def flush(self) -> NoReturn:
        """Raise: only the owner flushes."""
        raise self._not_ours("flush")

    def shutdown(self, timeout: float | None = None) -> NoReturn:
        """Raise: only the owner ends the logger."""
        raise self._not_ours("shutdown")

    def state_dict(self) -> NoReturn:
        """Raise: only the owner reads the state."""
        raise self._not_ours("state_dict")

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> NoReturn:
        """Raise: only the owner sets the state."""
        raise self._not_ours("load_state_dict")

    def close(self) -> None:
        """End this client's connection; the logger goes on."""
        self._remote.close()
        self._is_open = False

    def _not_ours(self, call: str) -> RLError:
        owner = "ProcessLogger" if self._backend == "process" else "ServedLogger"
        return RLError(f"`{call}` is not for workers: call it on the `{owner}`.")


class _OwnedLogger(_RemoteLogger):
    """Owns a logger that runs in a service."""

    _remote: LocalService

    def __init__(self, service: LocalService) -> None:
        state = service.start().call("state_dict")
        backend = service.service_backend
        super().__init__(service, backend, state["exp_name"], state["log_dir"])

    def __getstate__(self) -> NoReturn:
        raise RLError(
            f"A `{type(self).__name__}` stays in the process that made it: give workers "
            "`logger.client()`."
        )

    @property
    def is_alive(self) -> bool:
        """Whether the logger runs."""
        return self._remote.is_alive

    def client(self) -> LoggerClient:
        """Return what workers log with; that of a process can be pickled."""
        return LoggerClient(self._remote.client(), self._backend, self.exp_name, self.log_dir)

    def flush(self, timeout: float | None = None) -> None:
        """Have the logger write what is still in memory.

        Args:
            timeout: seconds given to it, those of the calls by default.
        """
        self._remote.with_timeout(timeout).call("flush")

    def close(self, timeout: float | None = None) -> None:
        """Do what `shutdown` does."""
        self.shutdown(timeout)

    def shutdown(self, timeout: float | None = None) -> None:
        """Close the logger and end its service; nothing when that was done.

        Args:
            timeout: seconds given to it, those of the calls by default.

        Raises:
            WorkerError: the logger raised when it was closed, or did not close in time, or was
                gone before; it is gone in any case.
        """
        self._is_open = False
        self._remote.shutdown(timeout)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the logger."""
        return self._remote.call("state_dict")

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Have the logger go on where `state_dict` was taken."""
        self._remote.call("load_state_dict", plain(state_dict))


class ServedLogger(_OwnedLogger):
    """Runs a logger in a service; `get_logger(..., service_backend=...)` makes it.

    Args:
        service: of a logger, with `LOGGER_CALLS`; it is started, and shut down with this logger.

    Example:
        >>> import tempfile
        >>> from rl.core.loggers import CSVLogger
        >>> from rl.core.services import ThreadService
        >>> make = partial(CSVLogger, "run", tempfile.mkdtemp())
        >>> logger = ServedLogger(ThreadService(make, LOGGER_CALLS, name="logger"))
        >>> logger.client().log_metrics({"loss": 0.5})
        {'loss': 0.5}
        >>> logger.shutdown()
    """


class ProcessLogger(_OwnedLogger):
    """Runs a logger in a process of its own.

    Calls return when the logger has made them. Every wait is bounded. The process closes the
    logger and ends on `shutdown`, when this object's process exits, and also when that is killed.

    Args:
        logger_cls: the logger's class, or a function that makes one; it is pickled.
        *args: its arguments.
        mp_context: a start method or a multiprocessing context.
        max_queue_size: how many calls of clients may wait in the process; more wait in the
            clients.
        startup_timeout: seconds until the logger must be there.
        timeout: seconds until any call must be made.
        **kwargs: keyword arguments of `logger_cls`.

    Raises:
        WorkerError: the logger could not be made (with its traceback), or not in time; later, when
            a call raised in the process, or that is gone or silent.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rl.core.loggers import CSVLogger
        >>> folder = tempfile.mkdtemp()
        >>> logger = ProcessLogger(CSVLogger, "run", log_dir=folder)
        >>> logger.client().log_scalar("loss", 0.5, step=10)
        >>> logger.shutdown()
        >>> Path(folder, "run", "scalars", "loss.csv").read_text().strip()
        '10,0.5'
    """

    def __init__(
        self,
        logger_cls: Callable[..., Logger],
        *args: Any,
        mp_context: str | BaseContext | None = None,
        max_queue_size: int = 1000,
        startup_timeout: float = 60.0,
        timeout: float = 60.0,
        **kwargs: Any,
    ) -> None:
        service = ProcessService(
            partial(made_logger, logger_cls, *args, **kwargs),
            LOGGER_CALLS,
            name="logger",
            mp_context=mp_context,
            transport="socket",
            max_queue_size=max_queue_size,
            startup_timeout=startup_timeout,
            timeout=timeout,
        )
        super().__init__(service)


def made_logger(make: Callable[..., Logger], *args: Any, **kwargs: Any) -> Logger:
    """Return what `make` makes.

    Args:
        make: a logger's class, or what makes one.
        *args: its arguments.
        **kwargs: its keyword arguments.

    Raises:
        RLError: it is no logger.
    """
    logger = make(*args, **kwargs)
    if not isinstance(logger, Logger):
        raise RLError(f"{make!r} made a {type(logger).__qualname__}, expected a `Logger`.")
    return logger
