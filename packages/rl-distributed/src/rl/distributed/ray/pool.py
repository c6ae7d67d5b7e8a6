"""Ray actors that are called together, with every wait bounded."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from rl.core import RLError, WorkerError, optional

__all__ = ["LOCAL_RAY", "ActorPool"]

ray = optional("ray", extra="rl-distributed[ray]")

#: a local Ray that shows no dashboard and prints little; its ports are open on all interfaces
LOCAL_RAY = {
    "include_dashboard": False,
    "log_to_driver": False,
    "logging_level": "ERROR",
    "configure_logging": False,
}

#: how long workers get to close what they hold before they are killed, in seconds
GRACE_S = 5.0


class ActorPool:
    """One actor per tuple of arguments.

    A worker that raises, dies or is silent is a `WorkerError` with its index, as soon as it is
    known and however long the others take.

    Args:
        kind: the class that the actors are of; it has a method `shutdown`.
        arguments: the constructor arguments of each actor.
        timeout_s: the longest wait for an answer, in seconds.
        init_config: arguments of `ray.init`, used if Ray does not run yet.
        actor_options: options of the actors, one CPU each by default.

    Raises:
        MissingDependencyError: Ray is not installed.

    Example:
        >>> class Counter:
        ...     def __init__(self, count):
        ...         self.count = count
        ...     def add(self, number):
        ...         return self.count + number
        ...     def shutdown(self):
        ...         pass
        >>> pool = ActorPool(Counter, [(1,), (2,)], timeout_s=60.0)
        >>> pool.call_all("add", 10)
        [11, 12]
        >>> pool.shutdown()
    """

    def __init__(
        self,
        kind: type,
        arguments: Sequence[tuple],
        *,
        timeout_s: float,
        init_config: dict[str, Any] | None = None,
        actor_options: dict[str, Any] | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self.closed = False
        self.owns_ray = _start_ray(len(arguments), init_config)
        actor = ray.remote(kind).options(**{"num_cpus": 1, **(actor_options or {})})
        self.actors = [actor.remote(*args) for args in arguments]

    def __len__(self) -> int:
        return len(self.actors)

    def put(self, value: Any) -> Any:  # noqa: ANN401 (a Ray reference)
        """Store a value once, for every actor to read."""
        return ray.put(value)

    def get(self, reference: Any) -> Any:  # noqa: ANN401 (what was put)
        """Return what `put` stored."""
        return ray.get(reference, timeout=self.timeout_s)

    # ------------------------------------------------------------------ calls

    def submit(self, index: int, method: str, *args: Any) -> Any:  # noqa: ANN401 (a Ray reference)
        """Start a call of one actor.

        Raises:
            RLError: the pool was shut down.
        """
        if self.closed:
            raise RLError("The collector was shut down: build a new one.")
        return getattr(self.actors[index], method).remote(*args)

    def call(self, index: int, method: str, *args: Any) -> Any:  # noqa: ANN401 (what it returns)
        """Call one actor."""
        pending = {self.submit(index, method, *args): index}
        return self.pop_first(pending, method)[1]

    def call_all(self, method: str, *args: Any) -> list[Any]:
        """Call every actor with the same arguments; return the results in the actors' order."""
        return self.call_each(method, dict.fromkeys(range(len(self)), args))

    def call_each(self, method: str, arguments: dict[int, tuple]) -> list[Any]:
        """Call actors, by index, with arguments of their own; return the results in that order."""
        pending = {self.submit(i, method, *args): i for i, args in arguments.items()}
        deadline = time.monotonic() + self.timeout_s
        results: dict[int, Any] = {}
        while pending:
            index, result = self.pop_first(pending, method, deadline)
            results[index] = result
        return [results[index] for index in arguments]

    def pop_first(
        self, pending: dict[Any, int], method: str, deadline: float | None = None
    ) -> tuple[int, Any]:
        """Wait for the first of some calls; remove it and return its actor's index and result.

        Args:
            pending: the calls, with the index of the actor of each.
            method: what was called, for messages.
            deadline: when to give up, on the monotonic clock; in `timeout_s` if None.

        Raises:
            WorkerError: the actor raised, died, or none answered in time.
        """
        wait_s = self.timeout_s if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=wait_s)
        if not ready:
            raise WorkerError(self._silence(sorted(pending.values()), method))
        index = pending.pop(ready[0])
        where = f"Worker {index} of {len(self)} stopped in `{method}`"
        try:
            return index, ray.get(ready[0], timeout=self.timeout_s)
        except ray.exceptions.GetTimeoutError as error:
            raise WorkerError(self._silence([index], method)) from error
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise WorkerError(
                f"{where}: {type(cause).__name__}: {cause}. Its traceback follows.\n\n{error}"
            ) from error
        except ray.exceptions.RayError as error:
            raise WorkerError(f"{where}: its process is gone ({error}).") from error

    def _silence(self, indices: list[int], method: str) -> str:
        return (
            f"Worker {', '.join(map(str, indices))} of {len(self)} stopped in `{method}`: no "
            f"answer within {self.timeout_s} s. Raise `timeout_s` if that is meant; Ray has "
            f"{ray.available_resources().get('CPU', 0.0):g} CPUs left for workers that have not "
            'started: `ray_init_config={"num_cpus": ...}` gives it more.'
        )

    def shutdown(self) -> None:
        """End the actors, and Ray if this pool started it; twice is harmless."""
        if self.closed:
            return
        self.closed = True
        if not ray.is_initialized():
            return
        # an env may hold processes of its own, which killing the actor would leave behind
        closing = [actor.shutdown.remote() for actor in self.actors]
        ray.wait(closing, num_returns=len(closing), timeout=min(GRACE_S, self.timeout_s))
        for actor in self.actors:
            ray.kill(actor)
        if self.owns_ray:
            ray.shutdown()


def _start_ray(num_actors: int, config: dict[str, Any] | None) -> bool:
    """Start a local Ray unless one runs; tell whether it was started."""
    if ray.is_initialized():
        return False
    cores = max(os.cpu_count() or 1, num_actors)
    ray.init(**{"num_cpus": cores, **LOCAL_RAY, **(config or {})})
    return True
