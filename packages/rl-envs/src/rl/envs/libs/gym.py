"""`GymEnv` and `GymWrapper`: gymnasium environments."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase

from rl.core import (
    Composite,
    NotRegisteredError,
    RLError,
    SpecError,
    TensorSpec,
    Unbounded,
    nearest,
)
from rl.envs.libs.gym_backend import gym_backend
from rl.envs.libs.gym_codecs import LeafCodec, is_dict_space
from rl.envs.libs.gym_like import GymLikeEnv
from rl.envs.libs.gym_roads import TensorStep, reset_into, step_into
from rl.envs.libs.gym_spaces import gym_space_to_spec, leaf_codecs, value_at
from rl.envs.libs.gym_vector import VectorResets, is_vector_env
from rl.envs.libs.info_readers import InfoReader
from rl.envs.libs.journal import Journal
from rl.envs.vector.slots import Slot

__all__ = ["GymEnv", "GymWrapper"]

#: what a subclass may override; the native slot road is only taken when none is
_HOOKS = (
    "_step",
    "_reset",
    "read_action",
    "read_obs",
    "read_reward",
    "read_done",
    "_output_transform",
    "_reset_output_transform",
)


class GymWrapper(GymLikeEnv):
    """An existing gymnasium env, single or vector.

    Specs follow the spaces (see `gym_space_to_spec`). A `Dict` observation space gives its own
    keys, any other the key `"observation"`. A `Dict` action space gives its own keys too, or
    entries below `"action"` when they would clash with those of the observation. A vector env of
    any autoreset mode yields the true final observation under `"next"`; its resets are asked for
    by `reset`, as those of every other env.

    Args:
        env: the gymnasium env.
        categorical_action_encoding: discrete values are indices instead of one-hot rows.
        from_pixels: read `env.render()` under `"pixels"` ([H, W, 3] uint8).
        pixels_only: with `from_pixels`, leave the state observation out.
        frame_skip: number of gym steps per env step.
        device: where data is delivered; None is the CPU, where gym works.
        float32: deliver float64 observations as float32.
        allow_done_after_reset: accept an episode that is over at its reset.
        run_type_checks: compare every step with the specs (slow).

    Reads:
        action: [*B, *action shape].
    Writes:
        observation (or the keys of a `Dict` space, and pixels): [*B, *shape].
        reward: [*B, 1] float32.
        done, terminated, truncated: [*B, 1] bool.

    Raises:
        SpecError: when a space has no spec, or `from_pixels` meets an env that renders no arrays.

    Example:
        >>> import gymnasium
        >>> env = GymWrapper(gymnasium.make("CartPole-v1"))
        >>> env.rollout(3)["next", "observation"].shape
        torch.Size([3, 4])
    """

    def __init__(  # noqa: PLR0913
        self,
        env: Any,  # noqa: ANN401
        categorical_action_encoding: bool = False,
        *,
        from_pixels: bool = False,
        pixels_only: bool = True,
        frame_skip: int = 1,
        device: torch.device | str | int | None = None,
        float32: bool = False,
        allow_done_after_reset: bool = False,
        run_type_checks: bool = False,
    ) -> None:
        vector = is_vector_env(env)
        if isinstance(env, gym_backend().Env):
            env = Journal(env)
        super().__init__(
            env,
            frame_skip=frame_skip,
            device=device,
            batch_size=torch.Size([env.num_envs]) if vector else None,
            allow_done_after_reset=allow_done_after_reset,
            run_type_checks=run_type_checks,
        )
        self.categorical_action_encoding = categorical_action_encoding
        self.float32 = float32
        self.from_pixels = from_pixels
        self.pixels_only = pixels_only
        self._resets = VectorResets(env) if vector else None
        self.__dict__["_quick"] = None
        self._make_specs(env)

    # ------------------------------------------------------------------ specs

    def _make_specs(self, env: Any) -> None:  # noqa: ANN401
        vector = self._resets is not None
        observations = env.single_observation_space if vector else env.observation_space
        actions = env.single_action_space if vector else env.action_space
        encoding = {"categorical": self.categorical_action_encoding, "float32": self.float32}
        key = None if is_dict_space(observations) else "observation"
        state = not (self.from_pixels and self.pixels_only)
        self._obs_leaves = leaf_codecs(observations, key, **encoding) if state else []
        action_key = self._action_key(actions, observations)
        self._action_leaves = leaf_codecs(actions, action_key, **encoding)
        action_spec = self._expand(self._space_spec(actions))
        if action_key is not None:
            action_spec = Composite(
                {action_key: action_spec}, shape=self.batch_size, device=self.device
            )
        self.action_spec = action_spec
        spec = self._space_spec(observations)
        members = {} if not state else dict(spec.items()) if key is None else {key: spec}
        if self.from_pixels:
            members["pixels"] = self._pixel_spec(env)
        members = {name: self._expand(leaf) for name, leaf in members.items()}
        self.observation_spec = Composite(members, shape=self.batch_size, device=self.device)

    @staticmethod
    def _action_key(actions: Any, observations: Any) -> str | None:  # noqa: ANN401
        """Return the key of the action; None puts the members of a `Dict` at the root."""
        if not is_dict_space(actions):
            return "action"
        taken = observations.spaces.keys() if is_dict_space(observations) else {"observation"}
        return "action" if taken & actions.spaces.keys() else None

    def _space_spec(self, space: Any) -> TensorSpec:  # noqa: ANN401
        return gym_space_to_spec(
            space,
            categorical_action_encoding=self.categorical_action_encoding,
            device=self.device,
            float32=self.float32,
        )

    def _expand(self, spec: TensorSpec) -> TensorSpec:
        return spec.expand(*self.batch_size, *spec.shape) if self.ndim else spec

    def _pixel_spec(self, env: Any) -> TensorSpec:  # noqa: ANN401
        if getattr(env, "render_mode", None) != "rgb_array":
            raise SpecError(
                f"`from_pixels=True` needs an env that renders arrays, its `render_mode` is "
                f"{getattr(env, 'render_mode', None)!r}: "
                '`gymnasium.make(env_name, render_mode="rgb_array")`.'
            )
        env.reset()
        frame = np.asarray(env.render())
        return Unbounded(frame.shape[self.ndim :], dtype=torch.uint8, device=self.device)

    # ------------------------------------------------------------------ hooks

    def read_action(self, action: torch.Tensor | TensorDictBase) -> Any:  # noqa: ANN401
        """Return the gym action.

        Args:
            action: the action; the root TensorDict when the action space is a `Dict`.
        """
        leaves = self._action_leaves
        if len(leaves) == 1 and not leaves[0][1]:
            return self._decode(leaves[0][2], action)
        nested: dict[str, Any] = {}
        for key, path, codec in leaves:
            target = nested
            for name in path[:-1]:
                target = target.setdefault(name, {})
            target[path[-1]] = self._decode(codec, action if len(leaves) == 1 else action.get(key))
        return nested

    def _decode(self, codec: LeafCodec, action: Any) -> Any:  # noqa: ANN401
        if not codec.tensor:
            return action
        array = super().read_action(action)
        return codec.decode(array) if self._resets is None else codec.decode_batch(array)

    def read_obs(self, observations: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the observation entries, as fresh tensors, by key."""
        content: dict[str, Any] = {}
        for key, path, codec in self._obs_leaves:
            value = value_at(observations, path) if path else observations
            to_tensor = codec.to_tensor if self._resets is None else codec.batch_to_tensor
            if isinstance(key, str):
                content[key] = to_tensor(value)
            else:
                self._nest(content, key, to_tensor(value))
        if self.from_pixels:
            content["pixels"] = torch.from_numpy(np.array(self._env.render()))
        return content

    def _nest(self, content: dict[str, Any], key: tuple[str, ...], value: Any) -> None:  # noqa: ANN401
        for name in key[:-1]:
            content = content.setdefault(name, {})
        content[key[-1]] = value

    def _output_transform(self, step_outputs: tuple) -> tuple:
        observation, reward, terminated, truncated, info = step_outputs
        if self._resets is not None:
            done = terminated | truncated
            observation = self._resets.final_observation(observation, done, info)
        return observation, reward, terminated, truncated, None, info

    # --------------------------------------------------------- step and reset

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        quick = self._quick
        if quick is None:
            quick = TensorStep(self) if self._is_plain() and TensorStep.serves(self) else False
            self.__dict__["_quick"] = quick
        if quick:
            return quick.run(tensordict, self._device)
        return super()._step(tensordict)

    def set_info_dict_reader(
        self, info_dict_reader: InfoReader | None = None, ignore_private: bool = True
    ) -> GymWrapper:
        """Read info entries at every step and reset, and add their specs; returns the env.

        Args:
            info_dict_reader: the reader; None registers every numeric entry, found by a trial step.
            ignore_private: skip keys that start with an underscore (with no reader given).
        """
        self.__dict__["_quick"] = None
        return super().set_info_dict_reader(info_dict_reader, ignore_private)

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        if self._resets is None:
            return super()._reset(tensordict, **kwargs)
        mask = None
        if tensordict is not None and (given := tensordict.get("_reset", None)) is not None:
            mask = given.reshape(self.batch_size).cpu().numpy()
        observation, info = self._resets.reset(mask, **self._seeded(kwargs))
        return self._deliver(self.read_obs(observation), info)

    # ----------------------------------------------------------------- resume

    def resume_state(self) -> dict[str, Any]:
        """Return what a new env replays to come to where this one is: see `Journal`.

        Raises:
            RLError: the env is a vector env, or none of gymnasium's.
        """
        if not isinstance(self._env, Journal):
            return super().resume_state()
        return {"journal": self._env.state(), "next_seed": self._next_seed}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Replay the episode of the env that `resume_state` was called on.

        Raises:
            CheckpointError: the replay ends elsewhere.
        """
        self._env.restore(state["journal"])
        self._next_seed = state["next_seed"]

    # ------------------------------------------------------------------ slots

    def _bind_step(self, slot: Slot) -> Callable[[], None]:
        return step_into(self, slot) if self._takes_rows() else super()._bind_step(slot)

    def _bind_reset(self, slot: Slot) -> Callable[[], None]:
        return reset_into(self, slot) if self._takes_rows() else super()._bind_reset(slot)

    def _takes_rows(self) -> bool:
        """Tell whether gym values go straight into rows."""
        leaves = self._obs_leaves + self._action_leaves
        return self._is_plain() and all(codec.tensor for _, _, codec in leaves)

    def _is_plain(self) -> bool:
        """Tell whether nothing (a hook, a reader, a vector env) is between gym and the data."""
        return (
            self._resets is None
            and not self.info_dict_readers
            and all(getattr(type(self), hook) is getattr(GymWrapper, hook) for hook in _HOOKS)
        )

    def _frame_reader(self) -> Callable[[], np.ndarray] | None:
        return self._env.render if self.from_pixels else None


class GymEnv(GymWrapper):
    """A gymnasium env by its id.

    gymnasium's order and type checking wrappers are left out, as `EnvBase` has its own; its time
    limit is
    kept. A vector env (`num_envs`) is built without autoreset: `reset` starts the episodes.

    Args:
        env_name: the id, such as `"CartPole-v1"`; `"module:id"` imports the module first.
        categorical_action_encoding: discrete values are indices instead of one-hot rows.
        from_pixels: read rendered frames under `"pixels"` ([H, W, 3] uint8).
        pixels_only: with `from_pixels`, leave the state observation out.
        frame_skip: number of gym steps per env step.
        num_envs: number of envs of gym's own vector env, which give a batch size [num_envs]; 0 for
            one env without batch.
        num_workers: 1 or None; several worker processes are a `ParallelEnv`.
        disable_env_checker: False puts gymnasium's checkers back.
        device: where data is delivered; None is the CPU, where gym works.
        float32: deliver float64 observations as float32.
        vectorization_mode: with `num_envs`, `"sync"`, `"async"` or `"vector_entry_point"`.
        allow_done_after_reset: accept an episode that is over at its reset.
        run_type_checks: compare every step with the specs (slow).
        kwargs: handed to `gymnasium.make`.

    Reads:
        action: [*B, *action shape].
    Writes:
        observation (or the keys of a `Dict` space, and pixels): [*B, *shape].
        reward: [*B, 1] float32.
        done, terminated, truncated: [*B, 1] bool.

    Raises:
        NotRegisteredError: when no env has this id.
        MissingDependencyError: when gymnasium is not installed.
        RLError: when `num_workers` is above 1.

    Example:
        >>> env = GymEnv("Pendulum-v1")
        >>> env.rollout(3)["next", "reward"].shape
        torch.Size([3, 1])
    """

    def __init__(  # noqa: PLR0913
        self,
        env_name: str,
        categorical_action_encoding: bool = False,
        *,
        from_pixels: bool = False,
        pixels_only: bool = True,
        frame_skip: int = 1,
        num_envs: int = 0,
        num_workers: int | None = None,
        disable_env_checker: bool | None = None,
        device: torch.device | str | int | None = None,
        float32: bool = False,
        vectorization_mode: str = "sync",
        allow_done_after_reset: bool = False,
        run_type_checks: bool = False,
        **kwargs: Any,
    ) -> None:
        if num_workers is not None and num_workers > 1:
            raise RLError(
                f"`GymEnv` is one process, `num_workers` is {num_workers}: "
                f"`ParallelEnv({num_workers}, lambda: GymEnv({env_name!r}, ...))`."
            )
        if from_pixels:
            kwargs.setdefault("render_mode", "rgb_array")
        checked = disable_env_checker is False
        if num_envs:
            env = _make_vector(env_name, num_envs, vectorization_mode, checked, kwargs)
        else:
            env = _make(env_name, checked, kwargs)
        self.__dict__["env_name"] = env_name
        super().__init__(
            env,
            categorical_action_encoding,
            from_pixels=from_pixels,
            pixels_only=pixels_only,
            frame_skip=frame_skip,
            device=device,
            float32=float32,
            allow_done_after_reset=allow_done_after_reset,
            run_type_checks=run_type_checks,
        )

    def __repr__(self) -> str:
        return (
            f"GymEnv(env={self.env_name}, batch_size={list(self.batch_size)}, device={self.device})"
        )


def _make(env_name: str, checked: bool, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    """Build one env by id.

    Raises:
        NotRegisteredError: no env has this id.
    """
    gym = gym_backend()
    try:
        return gym.make(_entry(env_name, checked), disable_env_checker=not checked, **kwargs)
    except gym_backend("error").UnregisteredEnv as error:
        raise _not_registered(env_name) from error


def _make_vector(
    env_name: str, num_envs: int, mode: str, checked: bool, kwargs: dict[str, Any]
) -> Any:  # noqa: ANN401
    """Build gym's vector env by id, without autoreset.

    Raises:
        NotRegisteredError: no env has this id.
    """
    gym = gym_backend()
    vector_kwargs = dict(kwargs.pop("vector_kwargs", None) or {})
    if mode != "vector_entry_point":
        vector_kwargs.setdefault("autoreset_mode", gym.vector.AutoresetMode.DISABLED)
    try:
        return gym.make_vec(
            _entry(env_name, checked),
            num_envs=num_envs,
            vectorization_mode=mode,
            vector_kwargs=vector_kwargs,
            **kwargs,
        )
    except gym_backend("error").UnregisteredEnv as error:
        raise _not_registered(env_name) from error


def _entry(env_name: str, checked: bool) -> Any:  # noqa: ANN401
    """Return the registry's entry without wrappers that check, or the id if there is none."""
    module, _, name = env_name.rpartition(":")
    if module:
        importlib.import_module(module)
    entry = gym_backend("envs.registration").registry.get(name)
    if entry is None or checked:
        return env_name
    entry = copy.deepcopy(entry)
    entry.order_enforce = False
    entry.disable_env_checker = True
    return entry


def _not_registered(env_name: str) -> NotRegisteredError:
    known = gym_backend("envs.registration").registry
    return NotRegisteredError(f"`{env_name}` is not registered. {nearest(env_name, known)}")
