"""Logging what collectors, buffers and the like say of themselves, on a schedule."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from rl.core.errors import RLError, nearest
from rl.core.loggers.base import Logger
from rl.core.loggers.schedule import Every
from rl.core.loggers.values import number
from rl.core.logging import warn

__all__ = ["LoggerMonitor"]

_ON_ERROR = ("warn", "raise", "ignore")
_STOP_TIMEOUT_S = 30.0

#: the counters whose rates are logged unless told otherwise, and the names of their rates
_RATES = {
    "frames": "frames_per_second",
    "batches": "batches_per_second",
    "write_count": "writes_per_second",
    "worker_frames": "worker_frames_per_second",
    "sample_calls": "samples_per_second",
    "samples_returned": "samples_returned_per_second",
}


@dataclass
class _Watched:
    """What is watched, and where it stood when it was last logged."""

    name: str
    ask: Callable[[], Mapping[str, Any]]
    schedule: Every | None
    step_key: str | None
    rates: Mapping[str, str]
    log_on_start: bool
    log_on_close: bool
    mark: float | None = None
    time_s: float = 0.0
    counters: dict[str, float] = field(default_factory=dict)
    fails: bool = False

    def is_due(self, now_s: float, stats: dict[str, float]) -> bool:
        """Tell whether `stats` are to be logged; the first ones are a baseline in any case."""
        mark = 0.0 if self.schedule is None else self.schedule.mark(now_s, stats)
        if self.mark is None:
            self.mark = mark
            self._remember(now_s, stats)
            return self.log_on_start
        if self.schedule is None:
            return True
        if self.schedule.kind == "counter" and mark < self.mark:
            self.mark = mark
        return self.schedule.is_due(self.mark, mark)

    def payload(self, now_s: float, stats: dict[str, float]) -> dict[str, float]:
        """Return the numbers and rates to log, and take them as the last logged."""
        elapsed_s = now_s - self.time_s
        rates = {
            rate: (stats[key] - self.counters[key]) / elapsed_s
            for key, rate in self.rates.items()
            if elapsed_s > 0 and key in self.counters and stats.get(key, -1) >= self.counters[key]
        }
        if self.schedule is not None:
            self.mark = self.schedule.mark(now_s, stats)
        self._remember(now_s, stats)
        return {f"{self.name}/{key}": value for key, value in (stats | rates).items()}

    def _remember(self, now_s: float, stats: dict[str, float]) -> None:
        self.time_s = now_s
        self.counters = {key: stats[key] for key in self.rates if key in stats}


class LoggerMonitor:
    """Asks objects for their `stats()` on a schedule and logs the numbers.

    The numbers are pulled, by a thread of the monitor or in `step`: what is watched never waits
    for a logger, and a slow logger delays the next question only. Stopping the monitor leaves the
    logger and what is watched as they are.

    Args:
        logger: takes the numbers, as `<name>/<number>`.
        poll_interval: seconds between two questions of the thread.
        background: `start`, or entering the monitor as a context, starts the thread; otherwise
            nothing is asked but in `step`.
        on_error: what an error of `stats()` or of the logger does. `"warn"`: a warning for the
            first of a row of errors. `"raise"`: it is raised by `step`; of the thread, which
            ends, by the next `step` or `stop`. `"ignore"`: nothing.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> class Counter:
        ...     frames = 0
        ...     def stats(self):
        ...         return {"frames": self.frames}
        >>> import tempfile
        >>> from rl.core.loggers import CSVLogger
        >>> logger = CSVLogger("run", tempfile.mkdtemp())
        >>> monitor, counter = LoggerMonitor(logger, background=False), Counter()
        >>> monitor.watch(counter, name="collector", schedule=Every.counter("frames", 100))
        'collector'
        >>> monitor.step()
        {'collector': {'collector/frames': 0.0}}
        >>> counter.frames = 50
        >>> monitor.step()
        {}
        >>> logger.close()
    """

    def __init__(
        self,
        logger: Logger,
        *,
        poll_interval: float = 1.0,
        background: bool = True,
        on_error: Literal["warn", "raise", "ignore"] = "warn",
    ) -> None:
        if poll_interval <= 0:
            raise ValueError(f"`poll_interval` is {poll_interval}, expected seconds above 0.")
        if on_error not in _ON_ERROR:
            raise ValueError(f"`on_error` is {on_error!r}, expected one of {_ON_ERROR}.")
        self.logger = logger
        self.poll_interval, self.background, self.on_error = poll_interval, background, on_error
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def watch(  # noqa: PLR0913  (as the users of TorchRL's pass them)
        self,
        target: Any,  # noqa: ANN401
        *,
        name: str | None = None,
        schedule: Every | None = None,
        step: str | None = None,
        stats_fn: Callable[..., Mapping[str, Any]] | None = None,
        stats_kwargs: Mapping[str, Any] | None = None,
        rate_keys: Iterable[str] | None = None,
        log_on_start: bool = True,
        log_on_close: bool = True,
    ) -> str:
        """Watch an object from now on, and return its name.

        Args:
            target: has a method `stats()` that returns numbers by name.
            name: starts the names of its numbers; its class's by default.
            schedule: when to log; at each question by default.
            step: the number that is the logger's step; the counter of the schedule by default,
                and the logger's own count where there is none.
            stats_fn: asked instead of `target.stats`.
            stats_kwargs: arguments of what is asked.
            rate_keys: counters whose rates are logged too, as `<counter>_per_second`; by default
                those of `frames`, `batches`, `write_count`, `worker_frames`, `sample_calls` and
                `samples_returned` that are there. A counter that went back has no rate.
            log_on_start: log at the first question; otherwise it is a baseline only.
            log_on_close: log in `stop`.

        Raises:
            ValueError: the name is taken.
            TypeError: there is nothing to ask.
        """
        ask = stats_fn or getattr(target, "stats", None)
        if not callable(ask):
            raise TypeError(
                f"A {type(target).__qualname__} has no method `stats()`: pass `stats_fn=`, a "
                "function that returns its numbers."
            )
        if step is None and schedule is not None and schedule.kind == "counter":
            step = schedule.key
        rates = _RATES if rate_keys is None else {key: f"{key}_per_second" for key in rate_keys}
        kwargs = dict(stats_kwargs or {})
        with self._lock:
            name = self._free_name(type(target).__name__.lower()) if name is None else name
            if name in self._watched:
                raise ValueError(f"`{name}` is watched already: give another `name`.")
            self._watched[name] = _Watched(
                name, lambda: ask(**kwargs), schedule, step, rates, log_on_start, log_on_close
            )
            self._is_closed = False
        return name

    def unwatch(self, name: str) -> None:
        """Watch an object no more.

        Raises:
            KeyError: nothing of this name is watched.
        """
        with self._lock:
            if name not in self._watched:
                raise KeyError(f"`{name}` is not watched. {nearest(name, self._watched)}")
            del self._watched[name]

    def start(self) -> Self:
        """Start the thread, unless it runs or `background` is false."""
        with self._lock:
            if self.background and self._thread is None:
                self._stopping.clear()
                self._thread = threading.Thread(target=self._run, name="rl-monitor", daemon=True)
                self._thread.start()
            self._is_closed = False
        return self

    def step(self) -> dict[str, dict[str, float]]:
        """Ask every watched object, log what is due, and return what was logged by name."""
        self._raise_failure()
        return self._poll(lambda watched, now_s, stats: watched.is_due(now_s, stats))

    def stop(self, *, log_final: bool | None = None) -> None:
        """End the thread and log each object once more; nothing when that was done.

        Args:
            log_final: whether to log, instead of what each `log_on_close` says.

        Raises:
            RLError: the thread is stuck in `stats()` or in the logger.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join(_STOP_TIMEOUT_S)
            if thread.is_alive():
                raise RLError(
                    f"The monitor did not stop in {_STOP_TIMEOUT_S:g} s: a `stats()` or the logger "
                    "does not return. Give them time limits of their own."
                )
        if self._is_closed:
            return
        self._is_closed = True
        self._raise_failure()
        self._poll(lambda watched, *_: watched.log_on_close if log_final is None else log_final)

    def _run(self) -> None:
        while True:
            try:
                self._poll(lambda watched, now_s, stats: watched.is_due(now_s, stats))
            except Exception as error:
                self._failure = error
                return
            if self._stopping.wait(self.poll_interval):
                return

    def _poll(
        self, is_due: Callable[[_Watched, float, dict[str, float]], bool]
    ) -> dict[str, dict[str, float]]:
        logged = {}
        with self._lock:
            for watched in list(self._watched.values()):
                with self._handled(watched):
                    payload = self._log(watched, is_due)
                    watched.fails = False
                    if payload is not None:
                        logged[watched.name] = payload
        return logged

    def _log(
        self, watched: _Watched, is_due: Callable[[_Watched, float, dict[str, float]], bool]
    ) -> dict[str, float] | None:
        stats = {key: number(key, value) for key, value in watched.ask().items()}
        now_s = time.monotonic()
        if not is_due(watched, now_s, stats):
            return None
        if watched.step_key is not None and watched.step_key not in stats:
            raise RLError(
                f"`stats()` of `{watched.name}` has no `{watched.step_key}`, which is its step; it "
                f"has {sorted(stats)}."
            )
        payload = watched.payload(now_s, stats)
        step = None if watched.step_key is None else int(stats[watched.step_key])
        self.logger.log_metrics(payload, step)
        return payload

    @contextlib.contextmanager
    def _handled(self, watched: _Watched) -> Any:  # noqa: ANN401
        try:
            yield
        except Exception as error:
            if self.on_error == "raise":
                raise
            if self.on_error == "warn" and not watched.fails:
                message = f"`{watched.name}` could not be logged: {type(error).__name__}: {error}"
                warn(message, RuntimeWarning, stacklevel=2)
            watched.fails = True

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _free_name(self, name: str) -> str:
        names = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
        return next(candidate for candidate in names if candidate not in self._watched)
