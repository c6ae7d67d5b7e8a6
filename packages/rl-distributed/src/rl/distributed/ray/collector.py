"""`RayCollector`: collectors in Ray actors, as one collector."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
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
    seed_generator,
    versioned_weights,
)
from rl.core.logging import warn
from rl.core.weights.versioned import checksum
from rl.distributed.ray.pool import ActorPool
from rl.distributed.ray.worker import CollectorWorker
from rl.envs import BaseCollector, split_trajectories

__all__ = ["RayCollector"]

#: what the collector does with all workers' batches, and so no single worker can
NOT_A_WORKERS = ("frames_per_batch", "total_frames", "split_trajs", "replay_buffer")


class RayCollector(BaseCollector):
    """Runs a `SingleCollector` in each of several Ray actors and delivers their batches.

    Every wait is bounded; a worker that raises, dies or is silent is a `WorkerError`. Weights carry
    a version and a checksum, each worker confirms what it loaded, and every batch says in
    `("collector", "policy_version")` which version acted. Until `set_seed`, the workers' random
    numbers follow from the state of torch's generator at construction.

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
        device: default of the three devices below.
        storing_device: where batches are delivered.
        policy_device: where the workers' policies run.
        env_device: where the workers' envs deliver data.
        init_random_frames: act at random for this many frames in all.
        max_frames_per_traj: truncate trajectories at this length.
        reset_at_each_iter: start every batch with a reset.
        postproc: applied to each delivered batch.
        split_trajs: return `[num_trajectories, T_max]` padded batches with a mask.
        exploration_type: the exploration mode while collecting.
        replay_buffer: anything with `extend`; takes the transitions, and iteration yields None.
        set_truncated: mark the last step of each batch truncated.
        trust_policy: use `policy` as it is.
        update_after_each_batch: send the weights of `policy` to a worker before each of its
            batches but the first.
        max_weight_update_interval: send them before a worker collects more batches than this with
            the same weights; -1 for only when `update_policy_weights_` is called.
        timeout_s: the longest wait for a worker, in seconds.

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
        device: torch.device | str | None = None,
        storing_device: torch.device | str | None = None,
        policy_device: torch.device | str | None = None,
        env_device: torch.device | str | None = None,
        max_frames_per_traj: int | None = None,
        init_random_frames: int | None = None,
        reset_at_each_iter: bool = False,
        postproc: Callable[[TensorDictBase], TensorDictBase] | None = None,
        split_trajs: bool = False,
        exploration_type: ExplorationType = ExplorationType.RANDOM,
        replay_buffer: Any = None,  # noqa: ANN401 (anything with `extend`)
        set_truncated: bool = False,
        trust_policy: bool = False,
        update_after_each_batch: bool = False,
        max_weight_update_interval: int = -1,
        timeout_s: float = 120.0,
    ) -> None:
        makers = _makers(create_env_fn, num_collectors)
        share = num_collectors if sync else 1
        if frames_per_batch % share:
            raise RLError(
                f"`frames_per_batch={frames_per_batch}` cannot be shared by {num_collectors} "
                "workers: pass a multiple."
            )
        self.update_interval = 1 if update_after_each_batch else max_weight_update_interval
        if self.update_interval > 0 and not isinstance(policy, nn.Module):
            raise RLError(
                "`update_after_each_batch` and `max_weight_update_interval` send the weights of "
                "`policy`, which is no module: pass one, or call `update_policy_weights_(policy)`."
            )
        self.policy = policy
        self.total_frames = total_frames
        self.sync = sync
        self.storing_device = storing_device or device
        self.postproc = postproc
        self.split_trajs = split_trajs
        self.replay_buffer = replay_buffer
        self.frames = self.iterations = self.version = 0
        #: how many batches each worker has begun with the weights it has
        self._ages = [0] * num_collectors
        self._pending: dict[Any, int] = {}
        self._failure: WorkerError | None = None
        self._policy_elsewhere = policy_factory is not None
        options = {
            "frames_per_batch": frames_per_batch // share,
            "policy_device": policy_device or device,
            "env_device": env_device or device,
            # batches travel through shared memory
            "storing_device": "cpu" if policy_device or env_device or device else None,
            # TorchRL writes -1 for none
            "max_frames_per_traj": max(max_frames_per_traj or 0, 0),
            "init_random_frames": max(init_random_frames or 0, 0) // num_collectors,
            "reset_at_each_iter": reset_at_each_iter,
            "exploration_type": exploration_type,
            "set_truncated": set_truncated,
            "trust_policy": trust_policy,
            **_for_workers(collector_kwargs),
        }
        sent = None if policy_factory is not None else _on_cpu(policy)
        self.workers = ActorPool(
            CollectorWorker,
            [
                (maker, sent, policy_factory, options, seed)
                for maker, seed in zip(makers, _seeds(num_collectors), strict=True)
            ],
            timeout_s=timeout_s,
            init_config=ray_init_config,
            actor_options=remote_configs,
        )
        try:
            self.pids = self.workers.call_all("pid")
            self.frames_per_batch = self._whole_frames(frames_per_batch, share)
            # what the workers act with, for `state_dict`
            self._weights = None
            self._agree_on_weights()
        except BaseException:
            self.shutdown()
            raise

    def __repr__(self) -> str:
        return f"RayCollector(num_collectors={len(self.workers)}, sync={self.sync})"

    def _whole_frames(self, frames: int, share: int) -> int:
        whole = share * self.workers.call(0, "frames_per_batch")
        if whole != frames:
            warn(
                f"`frames_per_batch={frames}` is no multiple of the envs of all workers: each "
                f"batch holds {whole}.",
                stacklevel=3,
            )
        return whole

    def _agree_on_weights(self) -> None:
        """Let all workers start with the weights of the first: a factory may draw them."""
        if self._policy_elsewhere:
            weights = self.workers.call(0, "weights")
            if weights is not None:
                self._send(weights)
        elif isinstance(self.policy, nn.Module):
            self._weights = self.workers.put(_stamped(self.policy, 0))

    # ------------------------------------------------------------- collection

    @property
    def closed(self) -> bool:
        """Whether the collector was shut down."""
        return self.workers.closed

    @property
    def is_exhausted(self) -> bool:
        """Whether `total_frames` are collected."""
        return 0 <= self.total_frames <= self.frames

    def next(self) -> TensorDictBase | None:
        """Collect one batch.

        Raises:
            WorkerError: a worker raised, died or is silent, now or before: the batches of the
                others are lost, so that going on would leave a gap.
            RLError: the collector was shut down.
        """
        self._require_whole()
        try:
            batch = self._next_sync() if self.sync else self._next_async()
        except WorkerError as error:
            self._failure = error
            raise
        self.frames += batch.numel()
        self.iterations += 1
        if self.storing_device is not None:
            batch = batch.to(self.storing_device)
        if self.split_trajs:
            batch = split_trajectories(batch, prefix="collector")
        if self.postproc is not None:
            batch = self.postproc(batch)
        if self.replay_buffer is None:
            return batch
        one_dim = getattr(getattr(self.replay_buffer, "storage", None), "ndim", 1) == 1
        self.replay_buffer.extend(batch.reshape(-1) if one_dim else batch)
        return None

    def _require_whole(self) -> None:
        if self._failure is not None and not self.closed:
            raise WorkerError(
                f"An earlier failure cost batches. {self._failure}\n\nGo on from the last "
                "`state_dict`, in this collector if its workers live, else in a new one."
            ) from self._failure

    def _next_sync(self) -> TensorDictBase:
        self._refresh(range(len(self.workers)))
        batches = self.workers.call_all("next")
        batches = [self._with_unique_ids(batch, index) for index, batch in enumerate(batches)]
        joined = torch.stack(batches, 0) if batches[0].ndim == 1 else torch.cat(batches, 0)
        joined.refine_names(..., "time")
        return joined

    def _next_async(self) -> TensorDictBase:
        if not self._pending:
            self._refresh(range(len(self.workers)))
            self._pending = {
                self.workers.submit(index, "next"): index for index in range(len(self.workers))
            }
        index, batch = self.workers.pop_first(self._pending, "next")
        self._refresh([index])
        self._pending[self.workers.submit(index, "next")] = index
        return self._with_unique_ids(batch, index)

    def _with_unique_ids(self, batch: TensorDictBase, index: int) -> TensorDictBase:
        key = ("collector", "traj_ids")
        return batch.set(key, batch.get(key) * len(self.workers) + index)

    # ---------------------------------------------------------------- weights

    def update_policy_weights_(self, policy_or_weights: Any = None) -> None:  # noqa: ANN401
        """Send the trained weights to every worker and wait until each has confirmed them.

        Args:
            policy_or_weights: a module, a state_dict or a TensorDict; the policy if None.

        Raises:
            RLError: nothing is given and `policy_factory` made the policies.
            WeightsError: a worker loaded another version than was sent.
            WorkerError: the weights do not fit the worker's policy.
        """
        source = self.policy if policy_or_weights is None else policy_or_weights
        if policy_or_weights is None and self._policy_elsewhere:
            raise RLError(
                "The workers' policies are of `policy_factory`, so the trained one is not known "
                "here: pass it, `update_policy_weights_(policy)`."
            )
        if policy_or_weights is None and not isinstance(source, nn.Module):
            return
        self.version += 1
        self._send(_stamped(source, self.version))

    def _refresh(self, indices: Iterable[int]) -> None:
        """Send the policy's weights to those of the workers whose are too old, each to begin."""
        due = [index for index in indices if 0 < self.update_interval <= self._ages[index]]
        if due:
            self.version += 1
            self._send(_stamped(self.policy, self.version), due)
        for index in indices:
            self._ages[index] += 1

    def _send(self, weights: Weights, indices: Sequence[int] | None = None) -> None:
        indices = range(len(self.workers)) if indices is None else indices
        sent = self.workers.put(weights)
        loaded = self.workers.call_each("load_weights", {index: (sent,) for index in indices})
        if set(loaded) != {weights.version}:
            raise WeightsError(
                f"Weights of version {weights.version} were sent, the workers loaded {loaded}: "
                "build the collector anew."
            )
        self._weights = sent
        for index in indices:
            self._ages[index] = 0

    # ------------------------------------------------------------------ state

    def set_seed(self, seed: int, static_seed: bool = False) -> int:
        """Give each worker a seed of the chain and return the next one."""
        for index in range(len(self.workers)):
            seed = self.workers.call(index, "set_seed", seed, static_seed)
        return seed

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the random state of every worker, and the weights they act with.

        Raises:
            RLError: asynchronous workers are always in the middle of a batch.
            WorkerError: a worker failed before, so that they are not at one point.
        """
        if not self.sync:
            raise RLError("An asynchronous collector cannot be resumed exactly: use `sync=True`.")
        self._require_whole()
        weights = {} if self._weights is None else self.workers.get(self._weights).tensordict
        return {
            "frames": self.frames,
            "iterations": self.iterations,
            "version": self.version,
            "ages": list(self._ages),
            "weights": {name: value.clone() for name, value in weights.items()},
            "workers": {str(i): s for i, s in enumerate(self.workers.call_all("state_dict"))},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on exactly from a `state_dict`, with the weights that acted when it was taken.

        Raises:
            RLError: the state is of another number of workers, or the collector asynchronous.
        """
        if not self.sync:
            raise RLError("An asynchronous collector cannot be resumed exactly: use `sync=True`.")
        states = state_dict["workers"]
        if len(states) != len(self.workers):
            raise RLError(
                f"The state is of {len(states)} workers, the collector has {len(self.workers)}: "
                f"build it with `num_collectors={len(states)}`."
            )
        self.frames = state_dict["frames"]
        self.iterations = state_dict["iterations"]
        self.version = state_dict["version"]
        order = range(len(self.workers))
        self.workers.call_each("load_state_dict", {i: (states[str(i)],) for i in order})
        if state_dict["weights"]:
            self._send(_stamped(state_dict["weights"], self.version))
        self._ages = list(state_dict["ages"])
        self._failure = None

    def shutdown(self) -> None:
        """End the workers, and Ray if this collector started it; twice is harmless."""
        self._pending.clear()
        self.workers.shutdown()


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


def _for_workers(collector_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    given = collector_kwargs or {}
    for name in NOT_A_WORKERS:
        if name in given:
            raise RLError(
                f"`collector_kwargs` holds `{name}`, which concerns the batches of all workers: "
                f"pass `{name}` to `RayCollector`."
            )
    return given


def _seeds(count: int) -> list[int]:
    """Return a seed per worker, drawn from torch's global generator."""
    seeds = [int(torch.randint(2**31, ()))]
    while len(seeds) < count:
        seeds.append(seed_generator(seeds[-1]))
    return seeds


def _on_cpu(policy: Any) -> Any:  # noqa: ANN401 (what `SingleCollector` takes)
    """Return the policy so that a worker without the accelerator can unpickle it."""
    if not isinstance(policy, nn.Module):
        return policy
    if all(tensor.device.type == "cpu" for tensor in policy.state_dict().values()):
        return policy
    return copy.deepcopy(policy).cpu()


def _stamped(source: Any, version: int) -> Weights:  # noqa: ANN401 (a module, dict or TensorDict)
    if isinstance(source, nn.Module):
        # sending copies
        weights = versioned_weights(source, version, copy=False)
        return Weights(version, weights.checksum, weights.tensordict.cpu())
    if isinstance(source, TensorDictBase):
        source = dict(source.flatten_keys(".").items())
    tensors = TensorDict({key: value.detach().cpu() for key, value in source.items()})
    return Weights(version, checksum(tensors), tensors)
