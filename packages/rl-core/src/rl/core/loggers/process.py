"""A logger in a process of its own, and what workers log with."""

from __future__ import annotations

import multiprocessing
import secrets
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import BaseContext
from typing import Any, NoReturn

import numpy as np
import torch
from tensordict import TensorDictBase

from rl.core.errors import RLError, WorkerError
from rl.core.loggers.base import Logger
from rl.core.loggers.server import CLIENT_CALLS, OWNER_CALLS, run_logger
from rl.core.loggers.values import as_video, numbers_of, plain
from rl.core.loggers.wire import TOKEN_BYTES, Channel

__all__ = ["LoggerClient", "ProcessLogger"]


class _RemoteLogger(Logger):
    """Has a logger in another process do what it is asked; returns when it is done."""

    def __init__(self, channel: Channel, exp_name: str, log_dir: str) -> None:
        super().__init__(exp_name, log_dir)
        self._channel = channel

    @property
    def service_backend(self) -> str:
        """Where the logger runs: in a process of its own."""
        return "process"

    def _step(self, name: str, step: int | None) -> int | None:  # type: ignore[override]
        # steps are counted over there, where all clients meet
        del name
        return None if step is None else int(step)

    def _write_scalar(self, name: str, value: float, step: int | None) -> None:
        self._channel.ask("log_scalar", {"name": name, "value": value, "step": step})

    def log_metrics(
        self,
        metrics: Mapping[str, Any] | TensorDictBase,
        step: int | None = None,
        *,
        keys_sep: str = "/",
    ) -> dict[str, float]:
        """Log every number of a nested dict or TensorDict; see `Logger.log_metrics`."""
        numbers = numbers_of(metrics, keys_sep)
        arguments = {"metrics": numbers, "step": self._step("", step), "keys_sep": keys_sep}
        return self._channel.ask("log_metrics", arguments)

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
        arguments = {"name": name, "step": self._step(name, step), **kwargs}
        self._channel.ask("log_video", arguments, torch.as_tensor(video).detach().cpu().numpy())

    def log_hparams(self, cfg: object) -> None:
        """Log settings; what is no number, string or list of them goes as its text."""
        self._channel.ask("log_hparams", {"cfg": plain(cfg)})

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
        values: np.ndarray = torch.as_tensor(data).detach().float().cpu().numpy()
        self._channel.ask("log_histogram", {"name": name, "step": step, **kwargs}, values)


class LoggerClient(_RemoteLogger):
    """What a worker logs with: every `log_*` of a logger that runs in another process.

    `ProcessLogger.client` makes it; it can be pickled and used by any process of this machine.
    `flush` and `shutdown` are for the owner of the logger.

    Args:
        channel: the way to the logger's process.
        exp_name: the experiment's name.
        log_dir: the folder it is put in.

    Raises:
        WorkerError: the call raised in the logger's process, or that is gone or silent.

    Example:
        >>> client = LoggerClient(Channel(1, b"0" * TOKEN_BYTES, 5.0), "run", "logs")
        >>> client.flush()
        Traceback (most recent call last):
        rl.core.errors.RLError: `flush` is not for workers: call it on the `ProcessLogger`.
    """

    def flush(self) -> NoReturn:
        """Raise: only the owner flushes."""
        raise _owners("flush")

    def shutdown(self, timeout: float | None = None) -> NoReturn:
        """Raise: only the owner ends the logger."""
        raise _owners("shutdown")

    def state_dict(self) -> NoReturn:
        """Raise: only the owner reads the state."""
        raise _owners("state_dict")

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> NoReturn:
        """Raise: only the owner sets the state."""
        raise _owners("load_state_dict")

    def close(self) -> None:
        """End this client's connection; the logger goes on."""
        self._channel.disconnect()
        self._is_open = False


class ProcessLogger(_RemoteLogger):
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
        if max_queue_size < 1:
            raise ValueError(f"`max_queue_size` is {max_queue_size}, expected 1 or more.")
        if not isinstance(mp_context, BaseContext):
            mp_context = multiprocessing.get_context(mp_context or "spawn")
        token, self._client_token = (
            secrets.token_bytes(TOKEN_BYTES),
            secrets.token_bytes(TOKEN_BYTES),
        )
        tokens = {token: OWNER_CALLS, self._client_token: CLIENT_CALLS}
        report, theirs = mp_context.Pipe(duplex=False)
        self._process: Any = mp_context.Process(  # type: ignore[attr-defined]
            target=run_logger,
            args=(logger_cls, args, kwargs, tokens, max_queue_size, theirs),
            name="rl-logger",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        started = self._started(report, startup_timeout)
        channel = Channel(started["port"], token, timeout)
        super().__init__(channel, started["exp_name"], started["log_dir"])

    def __getstate__(self) -> NoReturn:
        raise RLError(
            "A `ProcessLogger` stays in the process that made it: give workers `logger.client()`."
        )

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def client(self) -> LoggerClient:
        """Return what workers log with; it can be pickled."""
        channel = Channel(self._channel.port, self._client_token, self._channel.timeout_s)
        return LoggerClient(channel, self.exp_name, self.log_dir)

    def flush(self, timeout: float | None = None) -> None:
        """Have the logger write what is still in memory.

        Args:
            timeout: seconds given to it, those of the calls by default.
        """
        self._channel.ask("flush", {}, timeout_s=timeout)

    def close(self, timeout: float | None = None) -> None:
        """Do what `shutdown` does."""
        self.shutdown(timeout)

    def shutdown(self, timeout: float | None = None) -> None:
        """Close the logger and end its process; nothing when that was done.

        Args:
            timeout: seconds given to it, those of the calls by default.

        Raises:
            WorkerError: the logger raised when it was closed, or did not close in time, or its
                process had ended before; the process is gone in any case.
        """
        if not self._is_open:
            return
        self._is_open = False
        timeout = self._channel.timeout_s if timeout is None else timeout
        try:
            self._channel.ask("close", {}, timeout_s=timeout)
            self._process.join(timeout)
        finally:
            self._channel.disconnect()
            self._end()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the logger."""
        return self._channel.ask("state_dict", {})

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Have the logger go on where `state_dict` was taken."""
        self._channel.ask("load_state_dict", {"state_dict": plain(state_dict)})

    def _started(self, report: Any, timeout_s: float) -> dict[str, Any]:  # noqa: ANN401
        try:
            with report:
                started = report.recv() if report.poll(timeout_s) else None
        except EOFError:
            self._end()
            raise WorkerError(
                f"The process of the logger ended with code {self._process.exitcode} before the "
                "logger was made. Its output says why; a script that starts processes needs "
                '`if __name__ == "__main__":`.'
            ) from None
        if started is None:
            self._end()
            raise WorkerError(
                f"The logger was not there after {timeout_s:g} s: give more `startup_timeout`."
            )
        if "error" in started:
            self._end()
            raise WorkerError(
                f"The logger could not be made: {started['error']}. "
                f"Its traceback follows.\n\n{started['traceback']}"
            )
        return started

    def _end(self) -> None:
        self._process.join(0.5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5.0)


def _owners(call: str) -> RLError:
    return RLError(f"`{call}` is not for workers: call it on the `ProcessLogger`.")
