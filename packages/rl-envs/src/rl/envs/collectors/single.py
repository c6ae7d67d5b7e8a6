"""`SingleCollector`: run a policy in an env, in this process, and hand out batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from tensordict import TensorDictBase
from tensordict.nn import CudaGraphModule

from rl.core import ExplorationType, RLError, WeightSyncScheme, set_exploration_type
from rl.core.contract import split_trajectories
from rl.core.contract.keys import in_next
from rl.core.logging import warn
from rl.core.modules import SafeProbabilisticTensorDictSequential
from rl.envs import stepping
from rl.envs.base import EnvBase
from rl.envs.collectors.base import BaseCollector
from rl.envs.collectors.trajectories import TrajectoryIds
from rl.envs.collectors.weight_links import WeightLinks
from rl.envs.collectors.weights import PolicyCopy
from rl.envs.env_creator import make_env
from rl.envs.policy import Policy, as_policy, bound, check_policy_reads
from rl.envs.policy_state import with_policy_state
from rl.envs.random_actions import RandomActions
from rl.envs.rollouts import Stepper
from rl.envs.tape import Tape
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import StepCounter

__all__ = ["SingleCollector"]


class SingleCollector(BaseCollector):
    """Collects batches of `frames_per_batch` transitions in this process.

    Trajectories go on from one batch to the next. Each batch is `[*B, T]` with the last dim named
    "time"; `("collector", "traj_ids")` numbers the trajectories.

    A policy with a memory needs no preparation of the env: what it declares and the env lacks is
    added around it (see `with_policy_state`). The state travels in the TensorDict, so that
    `state_dict` resumes it.

    Args:
        create_env_fn: an env, or a function that makes one.
        policy: what acts (see `rl.envs.policy.as_policy`); random actions if None.
        policy_factory: makes the policy, instead of `policy`.
        frames_per_batch: transitions per batch, summed over the env's batch; rounded up to a
            multiple of it.
        total_frames: transitions in all, or -1 for no end; the last batch is a whole one.
        device: default of the three devices below.
        storing_device: where batches are delivered.
        policy_device: where the policy runs; a policy that lives elsewhere is copied there.
        env_device: where the env delivers data.
        create_env_kwargs: arguments of `create_env_fn`.
        max_frames_per_traj: truncate trajectories at this length (adds a `StepCounter`).
        init_random_frames: act at random in the batches that start before this many frames.
        reset_at_each_iter: start every batch with a reset.
        postproc: applied to each batch.
        split_trajs: return `[num_trajectories, T_max]` padded batches with a mask.
        exploration_type: the exploration mode while collecting.
        return_same_td: refill one batch in place; copy it before keeping it.
        set_truncated: mark the last step of each batch truncated.
        replay_buffer: anything with `extend`; takes the transitions, and iteration yields None.
        compact_obs: leave the observations under "next" out of the batch.
        trust_policy: use `policy` as it is.
        compile_policy: True, or the arguments of `torch.compile`.
        cudagraph_policy: True, or the arguments of `CudaGraphModule`.
        weight_sync_schemes: `{"policy": scheme}`: what brings the trained policy's weights to the
            collecting one at `update_policy_weights_`, instead of a plain copy.
        weight_recv_schemes: schemes whose senders are in other processes, by the path of the model
            that receives (`"policy"`, `"env.transform[0].module"`). What was sent is loaded before
            each batch.
        worker_idx: this collector's number among the receivers of `weight_recv_schemes`.

    Writes, with a scheme for the policy:
        ("collector", "policy_version"): [*B, T] int64, the version of the weights that acted.

    Example:
        >>> from rl.envs import GymEnv
        >>> env = GymEnv("CartPole-v1")
        >>> for batch in SingleCollector(env, frames_per_batch=50, total_frames=100):
        ...     batch.shape
        torch.Size([50])
        torch.Size([50])
    """

    def __init__(  # noqa: PLR0913 (the arguments TorchRL users pass)
        self,
        create_env_fn: EnvBase | Callable[..., EnvBase],
        policy: Any = None,  # noqa: ANN401
        *,
        policy_factory: Callable[[], Any] | None = None,
        frames_per_batch: int,
        total_frames: int = -1,
        device: torch.device | str | None = None,
        storing_device: torch.device | str | None = None,
        policy_device: torch.device | str | None = None,
        env_device: torch.device | str | None = None,
        create_env_kwargs: dict[str, Any] | None = None,
        max_frames_per_traj: int | None = None,
        init_random_frames: int | None = None,
        reset_at_each_iter: bool = False,
        postproc: Callable[[TensorDictBase], TensorDictBase] | None = None,
        split_trajs: bool = False,
        exploration_type: ExplorationType = ExplorationType.RANDOM,
        return_same_td: bool = False,
        set_truncated: bool = False,
        replay_buffer: Any = None,  # noqa: ANN401
        compact_obs: bool = False,
        trust_policy: bool = False,
        compile_policy: bool | dict[str, Any] = False,
        cudagraph_policy: bool | dict[str, Any] = False,
        weight_sync_schemes: Mapping[str, WeightSyncScheme] | None = None,
        weight_recv_schemes: Mapping[str, WeightSyncScheme] | None = None,
        worker_idx: int | None = None,
    ) -> None:
        if split_trajs and replay_buffer is not None:
            raise RLError(
                "`split_trajs=True` pads trajectories, and the padding would enter the replay "
                "buffer: leave it out, or extend the buffer with the rows that the mask marks."
            )
        self.storing_device, self.policy_device, env_device = (
            None if chosen is None and device is None else torch.device(chosen or device)
            for chosen in (storing_device, policy_device, env_device)
        )
        self.env = self._make_env(create_env_fn, create_env_kwargs, env_device, max_frames_per_traj)
        if policy_factory is not None:
            policy = policy_factory()
        self._weights = PolicyCopy(policy, self.policy_device)
        self.policy = self._weights.policy
        self.env = with_policy_state(self.env, self.policy)
        acting = as_policy(self.env, self.policy, trust_policy=trust_policy)
        check_policy_reads(self.env, acting)
        self._acting = self._wrap(acting, compile_policy, cudagraph_policy)
        self.frames_per_batch = self._whole_frames(frames_per_batch)
        self.requested_frames_per_batch = frames_per_batch
        self.total_frames = self._whole_total(total_frames)
        self.init_random_frames = init_random_frames or 0
        self.reset_at_each_iter = reset_at_each_iter
        self.postproc = postproc
        self.split_trajs = split_trajs
        self.exploration_type = exploration_type
        self.return_same_td = return_same_td
        self.set_truncated = set_truncated
        self.replay_buffer = replay_buffer
        self.compact_obs = compact_obs
        self.frames = 0
        self.iterations = 0
        self.ids = TrajectoryIds(self.env.batch_size)
        self._root: TensorDictBase | None = None
        self._out: TensorDictBase | None = None
        self._links = WeightLinks(
            self,
            self._weights.source,
            weight_sync_schemes or {},
            weight_recv_schemes or {},
            worker_idx,
        )
        self.closed = False

    # ------------------------------------------------------------ construction

    @staticmethod
    def _make_env(
        create_env_fn: Any,  # noqa: ANN401
        create_env_kwargs: dict[str, Any] | None,
        device: torch.device | None,
        max_frames_per_traj: int | None,
    ) -> EnvBase:
        env = make_env(create_env_fn, create_env_kwargs)
        if device is not None and env.device != device:
            env = env.to(device)
        if max_frames_per_traj:
            env = TransformedEnv(env, StepCounter(max_steps=max_frames_per_traj))
        return env

    def _wrap(
        self, policy: Policy, compile_policy: bool | dict, cudagraph_policy: bool | dict
    ) -> Policy:
        if compile_policy:
            policy = _compiled(policy, _options(compile_policy))
        if cudagraph_policy:
            policy = CudaGraphModule(policy, **_options(cudagraph_policy))
        target, home = self.policy_device, self.env.device
        if target is None or target == home or (home is None and target.type == "cpu"):
            return policy
        back = torch.device("cpu") if home is None else home
        return lambda root: root.update(policy(root.to(target)).to(back))

    def _whole_frames(self, frames: int) -> int:
        envs = self.env.numel()
        whole = -(-frames // envs) * envs
        if whole != frames:
            warn(
                f"`frames_per_batch={frames}` is no multiple of the {envs} envs: "
                f"each batch holds {whole}.",
                stacklevel=3,
            )
        return whole

    def _whole_total(self, total: int) -> int:
        if total > 0 and total % self.frames_per_batch:
            whole = -(-total // self.frames_per_batch) * self.frames_per_batch
            warn(
                f"`total_frames={total}` is no multiple of the {self.frames_per_batch} frames of a "
                f"batch: {whole} are collected.",
                stacklevel=3,
            )
        return total

    # -------------------------------------------------------------- collection

    @property
    def is_exhausted(self) -> bool:
        """Whether `total_frames` are collected."""
        return 0 <= self.total_frames <= self.frames

    def next(self) -> TensorDictBase | None:
        """Collect one batch."""
        if self.closed:
            raise RLError("The collector was shut down: build a new one.")
        self._links.load()
        with torch.no_grad(), set_exploration_type(self.exploration_type):
            batch = self._deliver(self._collect())
        self.frames += self.frames_per_batch
        self.iterations += 1
        if self.replay_buffer is None:
            return batch
        one_dim = getattr(getattr(self.replay_buffer, "storage", None), "ndim", 1) == 1
        self.replay_buffer.extend(batch.reshape(-1) if one_dim else batch)
        return None

    def _collect(self) -> TensorDictBase:
        env, plan = self.env, self.env.keys_plan
        steps = self.frames_per_batch // env.numel()
        policy = RandomActions(env, steps) if self.policy is None else self._acting
        root = self._first_root(policy)
        stepper, tape = Stepper(env, policy), Tape(steps, out=self._out)
        act = bound(policy)
        if self.policy is not None and self.frames < self.init_random_frames:
            # all else that the policy writes stays, so that batches have the same keys
            act = _in_turn(act, RandomActions(env, steps))
        for step in range(steps):
            root = act(root)
            following = stepper.step(root)
            if self.set_truncated and step == steps - 1:
                stepping.truncate(env, following)
            tape.append(root, following)
            root = stepper.advance(root, following)
            if plan.any_done(root):
                root = stepping.reset_done(env, root)
        self._root = root
        batch = tape.stack()
        if self.return_same_td:
            self._out = batch
        over = stepping.all_groups_done(env, batch.get("next"))
        batch.set(("collector", "traj_ids"), self.ids.label(over))
        if self._links.version is not None:
            version = torch.full_like(batch["collector", "traj_ids"], self._links.version)
            batch.set(("collector", "policy_version"), version)
        return batch

    def _first_root(self, policy: Policy) -> TensorDictBase:
        if self._root is not None and not self.reset_at_each_iter:
            return self._root
        if self._root is not None:
            self.ids.start_all()
        root = self.env.reset()
        check_policy_reads(self.env, policy, root)
        return root

    def _deliver(self, batch: TensorDictBase) -> TensorDictBase:
        if self.compact_obs:
            batch = batch.exclude(*(in_next(key) for key in self.env.observation_keys))
        if self.storing_device is not None:
            batch = batch.to(self.storing_device)
        if self.split_trajs:
            batch = split_trajectories(batch, prefix="collector")
        return batch if self.postproc is None else self.postproc(batch)

    # ------------------------------------------------------------------ state

    def update_policy_weights_(self, policy_or_weights: Any = None) -> None:  # noqa: ANN401
        """Copy the trained weights into the collecting policy, if that is another module.

        Args:
            policy_or_weights: a module, a state_dict or a TensorDict; the trained policy if None.
        """
        if not self._links.send(policy_or_weights):
            self._weights.update(policy_or_weights)

    def set_seed(self, seed: int, static_seed: bool = False) -> int:
        """Seed the env and return the next seed of the chain."""
        return self.env.set_seed(seed, static_seed=static_seed)

    def reset(self) -> None:
        """Start the next batch with a reset, and new trajectories."""
        if self._root is not None:
            self.ids.start_all()
        self._root = None

    def state_dict(self) -> dict[str, Any]:
        """Return the counters, the root to go on from, and the env's resume state.

        Raises:
            RLError: the env cannot be resumed exactly.
        """
        return {
            "frames": self.frames,
            "iterations": self.iterations,
            "ids": self.ids.state_dict(),
            "root": self._root,
            "env": self.env.resume_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on exactly from a `state_dict`."""
        self.frames = state_dict["frames"]
        self.iterations = state_dict["iterations"]
        self.ids.load_state_dict(state_dict["ids"])
        self._root = state_dict["root"]
        self.env.load_resume_state(state_dict["env"])

    def shutdown(self) -> None:
        """Close the env; shutting down twice is harmless."""
        if not self.closed:
            self._links.shutdown()
            self.env.close()
        self.closed = True


def _in_turn(first: Policy, second: Policy) -> Policy:
    return lambda root: second(first(root))


def _compiled(policy: Policy, options: dict[str, Any]) -> Policy:
    if isinstance(policy, SafeProbabilisticTensorDictSequential):
        return policy.compiled(**options)
    return torch.compile(policy, **options)


def _options(flag: bool | dict[str, Any]) -> dict[str, Any]:
    return flag if isinstance(flag, dict) else {}
