"""`ParallelEnv`: several envs in worker processes, behind one batched interface."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from rl.core import RLError, nearest
from rl.envs.vector.batched import BatchedEnvBase, EnvMaker
from rl.envs.vector.launch import START_METHODS
from rl.envs.vector.pool import WorkerPool

__all__ = ["ParallelEnv"]

_ON_FAILURE = ("raise", "restart")

#: polls before a waiting process sleeps, about 0.2 ms
_SPINS = 200


class ParallelEnv(BatchedEnvBase):
    """Steps its envs in worker processes, over shared memory.

    A process holds several envs, as many as it takes to have one process per CPU core. Functions
    are sent with cloudpickle, so lambdas work, and scripts need no `if __name__ == "__main__"`
    guard. Needs a POSIX system.

    Args:
        num_workers: the number of envs.
        create_env_fn: builds one env (a function, a class, an `EnvCreator`); or a list, one per
            env.
        create_env_kwargs: keyword arguments of `create_env_fn`; or a list with a dict per env.
        device: where results are delivered.
        num_threads: torch threads of each worker process.
        mp_start_method: "forkserver" (a process that only imported the library forks the workers,
            the default), "spawn" (each worker imports it itself) or "fork" (this process forks).
        num_processes: number of processes; by default one per env, up to the number of CPU cores
            less the one that this process needs.
        timeout_s: seconds to wait for a worker before it counts as lost.
        on_worker_failure: "raise" a `WorkerError`; or "restart" the process, seeded anew: the step
            reports the lost episodes as truncated at their last observation, and the others go on.
        hoist_transforms: whether a transform that all envs wear may run once, on the batch.

    Reads:
        action: [num_workers, *B, ...].
    Writes:
        what the envs write, with a leading dim `num_workers`.

    Raises:
        RLError: when counts differ or an option is unknown.
        WorkerError: when an env raises or a worker dies; with the env's index and traceback.

    Example:
        >>> from rl.envs import GymEnv
        >>> env = ParallelEnv(2, lambda: GymEnv("CartPole-v1"))
        >>> env.rollout(3)["observation"].shape
        torch.Size([2, 3, 4])
        >>> env.close()
    """

    def __init__(  # noqa: PLR0913
        self,
        num_workers: int,
        create_env_fn: EnvMaker | Sequence[EnvMaker],
        *,
        create_env_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        device: torch.device | str | int | None = None,
        num_threads: int = 1,
        mp_start_method: Literal["forkserver", "spawn", "fork"] | None = None,
        num_processes: int | None = None,
        timeout_s: float = 300.0,
        on_worker_failure: Literal["raise", "restart"] = "raise",
        hoist_transforms: bool = True,
    ) -> None:
        method = mp_start_method or START_METHODS[0]
        _check("mp_start_method", method, START_METHODS)
        _check("on_worker_failure", on_worker_failure, _ON_FAILURE)
        cores = _num_cores()
        if num_processes is None:
            num_processes = max(1, cores - 1)
        if num_processes < 1:
            raise RLError(f"`num_processes` is {num_processes}, expected 1 or more.")
        num_processes = min(num_processes, num_workers)
        pool = functools.partial(
            WorkerPool,
            num_processes=num_processes,
            start_method=method,
            num_threads=num_threads,
            timeout_s=timeout_s,
            restart=on_worker_failure == "restart",
            # where every process has a core, waiting awake is faster and takes nobody's time
            spins=_SPINS if num_processes < cores else 0,
        )
        super().__init__(
            num_workers,
            create_env_fn,
            pool,
            create_env_kwargs=create_env_kwargs,
            device=device,
            hoist_transforms=hoist_transforms,
        )


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise RLError(f"`{name}` is {given!r}. {nearest(str(given), known)}")
