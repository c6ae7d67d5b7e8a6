"""`RayCollector`: collectors in Ray actors, as one collector."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import nn

from rl.core import (
    ExplorationType,
    RLError,
    Weights,
    WeightsError,
    WorkerError,
    optional,
    versioned_weights,
)
from rl.core.weights.versioned import checksum
from rl.distributed.ray.worker import CollectorWorker
from rl.envs import BaseCollector

__all__ = ["RayCollector"]

ray = optional("ray", extra="rl-distributed[ray]")

#: a local Ray that shows no dashboard and prints nothing
LOCAL_RAY = {
    "include_dashboard": False,
    "log_to_driver": False,
    "configure_logging": False,
    "_node_ip_address": "127.0.0.1",
}


class RayCollector(BaseCollector):
    """Runs a `SingleCollector` in each of several Ray actors and delivers their batches.

    Every wait is bounded; a worker that raises, dies or is silent is a `WorkerError`. Weights carry
    a version and a checksum, each worker confirms what it loaded, and every batch says in
    `("collector", "policy_version")` which version acted.

    Args:
        create_env_fn: makes an env; or a list with one function per worker.
        policy: what acts; random actions if None.
        policy_factory: makes the policy in each worker, instead of `policy`.
        frames_per_batch: transitions per batch. Synchronous workers share them.
        total_frames: transitions in all, or -1 for no end.
        num_collectors: the number of workers.
        sync: wait for every worker and deliver one batch `[num_collectors * B, T]`; otherwise
            deliver the batch `[B, T]` of the worker that is ready first.
        collector_kwargs: further arguments of each worker's `SingleCollector`.
        ray_init_config: arguments of `ray.init`, used if Ray does not run yet.
        remote_configs: options of the actors, such as `{"num_cpus": 1, "num_gpus": 0}`.
        timeout_s: the longest wait for a worker.
        storing_device: where batches are delivered.
        init_random_frames: act at random for this many frames in all.
        max_frames_per_traj: truncate trajectories at this length.
        reset_at_each_iter: start every batch with a reset.
        exploration_type: the exploration mode while collecting.
        set_truncated: mark the last step of each batch truncated.
        postproc: applied to each delivered batch.
        replay_buffer: anything with `extend`; takes the transitions, and iteration yields None.

    Writes:
        ("collector", "traj_ids"): [*B, T] int64, unique over the workers.
        ("collector", "policy_version"): [*B, T] int64.

    Raises:
        MissingDependencyError: Ray is not installed.
        WorkerError: a worker cannot be started.

    Example:
        >>> from rl.envs.testing import CountingEnv
        >>> collector = RayCollector(CountingEnv, frames_per_batch=8, num_collectors=2)
        >>> collector.next().shape
        torch.Size([2, 4])
        >>> collector.shutdown()
    """

    def __init__(  # noqa: PLR0913 (the arguments TorchRL users pass)
        self,
        create_env_fn: Callable[..., Any] | Sequence[Callable[..., Any]],
        policy: Any = None,  # noqa: ANN401 (what `SingleCollector` takes)
        *,
        policy_factory: Callable[[], Any] | None = None,
        frames_per_batch: int,
        total_frames: int = -1,
        num_collectors: int = 2,
        sync: bool = True,
        collector_kwargs: dict[str, Any] | None = None,
        ray_init_config: dict[str, Any] | None = None,
        remote_configs: dict[str, Any] | None = None,
        timeout_s: float = 300.0,
        storing_device: torch.device | str | None = None,
        init_random_frames: int | None = None,
        max_frames_per_traj: int | None = None,
        reset_at_each_iter: bool = False,
        exploration_type: ExplorationType = ExplorationType.RANDOM,
        set_truncated: bool = False,
        postproc: Callable[[TensorDictBase], TensorDictBase] | None = None,
        replay_buffer: Any = None,  # noqa: ANN401 (anything with `extend`)
    ) -> None:
        makers = _makers(create_env_fn, num_collectors)
        share = num_collectors if sync else 1
        if frames_per_batch % share:
            raise RLError(
                f"`frames_per_batch={frames_per_batch}` cannot be shared by {num_collectors} "
                "workers: pass a multiple."
            )
        self.policy = policy
        self.frames_per_batch = frames_per_batch
        self.total_frames = total_frames
        self.sync = sync
        self.timeout_s = timeout_s
        self.storing_device = storing_device
        self.postproc = postproc
        self.replay_buffer = replay_buffer
        self.frames = self.iterations = self.version = 0
        self.closed = False
        self._pending: dict[Any, int] = {}
        self._owns_ray = _start_ray(num_collectors, ray_init_config)
        options = {
            "frames_per_batch": frames_per_batch // share,
            "init_random_frames": (init_random_frames or 0) // num_collectors,
            "max_frames_per_traj": max_frames_per_traj,
            "reset_at_each_iter": reset_at_each_iter,
            "exploration_type": exploration_type,
            "set_truncated": set_truncated,
            **(collector_kwargs or {}),
        }
        actor = ray.remote(CollectorWorker).options(**{"num_cpus": 1, **(remote_configs or {})})
        self.workers = [actor.remote(maker, policy, policy_factory, options) for maker in makers]
        try:
            self.pids = self._call("creation", "pid")
        except BaseException:
            self.shutdown()
            raise

    def __repr__(self) -> str:
        return f"RayCollector(num_collectors={len(self.workers)}, sync={self.sync})"

    # ---------------------------------------------------------------- workers

    def _call(self, phase: str, method: str, *args: Any) -> list[Any]:
        """Call a method of every worker and return the results, in order."""
        if self.closed:
            raise RLError("The collector was shut down: build a new one.")
        calls = [getattr(worker, method).remote(*args) for worker in self.workers]
        return [self._get(call, index, phase) for index, call in enumerate(calls)]

    def _get(self, call: Any, index: int, phase: str) -> Any:  # noqa: ANN401 (what the call returns)
        where = f"Worker {index} of {len(self.workers)} stopped in `{phase}`"
        try:
            return ray.get(call, timeout=self.timeout_s)
        except ray.exceptions.GetTimeoutError as error:
            raise WorkerError(
                f"{where}: no answer within {self.timeout_s} s. Raise `timeout_s` if that is meant."
            ) from error
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise WorkerError(
                f"{where}: {type(cause).__name__}: {cause}. Its traceback follows.\n\n{error}"
            ) from error
        except ray.exceptions.RayError as error:
            raise WorkerError(f"{where}: its process is gone ({error}).") from error

    # ------------------------------------------------------------- collection

    @property
    def is_exhausted(self) -> bool:
        """Whether `total_frames` are collected."""
        return 0 <= self.total_frames <= self.frames

    def next(self) -> TensorDictBase | None:
        """Collect one batch.

        Raises:
            WorkerError: a worker raised, died or is silent.
        """
        batch = self._next_sync() if self.sync else self._next_async()
        self.frames += batch.numel()
        self.iterations += 1
        if self.storing_device is not None:
            batch = batch.to(self.storing_device)
        if self.postproc is not None:
            batch = self.postproc(batch)
        if self.replay_buffer is None:
            return batch
        self.replay_buffer.extend(batch.reshape(-1))
        return None

    def _next_sync(self) -> TensorDictBase:
        batches = self._call("next", "next")
        batches = [self._with_unique_ids(batch, index) for index, batch in enumerate(batches)]
        joined = torch.stack(batches, 0) if batches[0].ndim == 1 else torch.cat(batches, 0)
        joined.refine_names(..., "time")
        return joined

    def _next_async(self) -> TensorDictBase:
        if self.closed:
            raise RLError("The collector was shut down: build a new one.")
        if not self._pending:
            self._pending = {worker.next.remote(): i for i, worker in enumerate(self.workers)}
        ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=self.timeout_s)
        if not ready:
            raise WorkerError(f"No worker answered in `next` within {self.timeout_s} s.")
        index = self._pending.pop(ready[0])
        batch = self._get(ready[0], index, "next")
        self._pending[self.workers[index].next.remote()] = index
        return self._with_unique_ids(batch, index)

    def _with_unique_ids(self, batch: TensorDictBase, index: int) -> TensorDictBase:
        key = ("collector", "traj_ids")
        return batch.set(key, batch.get(key) * len(self.workers) + index)

    # ---------------------------------------------------------------- weights

    def update_policy_weights_(self, policy_or_weights: Any = None, **kwargs: Any) -> None:  # noqa: ANN401
        """Send the trained weights to every worker and wait until each has confirmed them.

        Args:
            policy_or_weights: a module, a state_dict or a TensorDict; the policy if None.
            kwargs: ignored.

        Raises:
            WeightsError: a worker loaded another version than was sent.
            WorkerError: the weights do not fit the worker's policy.
        """
        source = self.policy if policy_or_weights is None else policy_or_weights
        if source is None:
            return
        self.version += 1
        sent = ray.put(_stamped(source, self.version))
        loaded = self._call("load_weights", "load_weights", sent)
        if set(loaded) != {self.version}:
            raise WeightsError(f"Weights of version {self.version} were sent, loaded are {loaded}.")

    # ------------------------------------------------------------------ state

    def set_seed(self, seed: int, static_seed: bool = False) -> int:
        """Give each worker a seed of the chain and return the next one."""
        for index, worker in enumerate(self.workers):
            seed = self._get(worker.set_seed.remote(seed, static_seed), index, "set_seed")
        return seed

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every worker.

        Raises:
            RLError: asynchronous workers are always in the middle of a batch.
        """
        if not self.sync:
            raise RLError("An asynchronous collector cannot be resumed exactly: use `sync=True`.")
        states = self._call("state_dict", "state_dict")
        return {
            "frames": self.frames,
            "iterations": self.iterations,
            "version": self.version,
            "workers": {str(index): state for index, state in enumerate(states)},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on exactly from a `state_dict`; the policy's weights are sent along.

        Raises:
            RLError: the state is of another number of workers.
        """
        states = state_dict["workers"]
        if len(states) != len(self.workers):
            raise RLError(
                f"The state is of {len(states)} workers, the collector has {len(self.workers)}: "
                f"build it with `num_collectors={len(states)}`."
            )
        self.frames = state_dict["frames"]
        self.iterations = state_dict["iterations"]
        calls = [
            worker.load_state_dict.remote(states[str(index)])
            for index, worker in enumerate(self.workers)
        ]
        for index, call in enumerate(calls):
            self._get(call, index, "load_state_dict")
        # the workers were built with the policy as it was before it was restored
        self.version = state_dict["version"]
        self.update_policy_weights_()

    def shutdown(self) -> None:
        """End the workers, and Ray if this collector started it; twice is harmless."""
        if self.closed:
            return
        self.closed = True
        for worker in self.workers:
            ray.kill(worker)
        if self._owns_ray:
            ray.shutdown()


def _makers(create_env_fn: Any, num_collectors: int) -> list[Callable[..., Any]]:  # noqa: ANN401
    if num_collectors < 1:
        raise RLError(f"`num_collectors` is {num_collectors}, expected 1 or more.")
    if callable(create_env_fn):
        return [create_env_fn] * num_collectors
    makers = list(create_env_fn)
    if len(makers) != num_collectors:
        raise RLError(
            f"{len(makers)} functions that make an env were given for {num_collectors} workers: "
            "pass one, or one per worker."
        )
    return makers


def _start_ray(num_collectors: int, config: dict[str, Any] | None) -> bool:
    """Start a local Ray unless one runs; tell whether it was started."""
    if ray.is_initialized():
        return False
    cores = max(os.cpu_count() or 1, num_collectors)
    ray.init(**{"num_cpus": cores, **LOCAL_RAY, **(config or {})})
    return True


def _stamped(source: Any, version: int) -> Weights:  # noqa: ANN401 (a module, dict or TensorDict)
    if isinstance(source, nn.Module):
        return versioned_weights(source, version, copy=False)
    if isinstance(source, TensorDictBase):
        source = dict(source.flatten_keys(".").items())
    tensors = TensorDict({key: value.detach() for key, value in source.items()}, batch_size=[])
    return Weights(version, checksum(tensors), tensors)
