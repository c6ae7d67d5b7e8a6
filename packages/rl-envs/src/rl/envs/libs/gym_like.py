"""`GymLikeEnv`: the base of adapters whose simulator has gym's `reset` and `step`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from rl.core import Binary, Composite, RLError
from rl.envs.base import EnvBase
from rl.envs.libs.info_readers import (
    BaseInfoDictReader,
    InfoReader,
    default_info_dict_reader,
    spec_of_info,
)

__all__ = ["GymLikeEnv"]


class GymLikeEnv(EnvBase):
    """An env around a simulator with gym's interface.

    A subclass sets its specs and overrides the hooks that differ from gym: `read_action`,
    `read_obs`,
    `read_reward`, `read_done`, and `_output_transform` / `_reset_output_transform`, which bring
    what `step` and `reset` return into gym's order.

    Args:
        env: the simulator.
        frame_skip: number of simulator steps per env step; rewards are summed.
        device: where data is delivered.
        batch_size: the batch dims of the simulator.
        allow_done_after_reset: accept an episode that is over at its reset.
        run_type_checks: compare every step with the specs (slow).

    Reads:
        action: [*B, *action shape].
    Writes:
        the observation keys: [*B, *shape].
        reward: [*B, 1] float32.
        done, terminated, truncated: [*B, 1] bool.

    Raises:
        RLError: when `frame_skip` is below 1.

    Example:
        >>> import gymnasium
        >>> from rl.core import Bounded, Unbounded
        >>> class Car(GymLikeEnv):
        ...     def __init__(self):
        ...         super().__init__(gymnasium.make("MountainCarContinuous-v0"))
        ...         self.observation_spec = Composite(observation=Unbounded((2,)))
        ...         self.action_spec = Bounded(-1.0, 1.0, shape=(1,))
        >>> Car().rollout(3)["observation"].shape
        torch.Size([3, 2])
    """

    #: a vector env need not copy the observation to an env whose simulator keeps the state
    reads_root = False

    def __init__(
        self,
        env: Any,  # noqa: ANN401
        *,
        frame_skip: int = 1,
        device: torch.device | str | int | None = None,
        batch_size: torch.Size | None = None,
        allow_done_after_reset: bool = False,
        run_type_checks: bool = False,
    ) -> None:
        super().__init__(
            device=device,
            batch_size=batch_size,
            allow_done_after_reset=allow_done_after_reset,
            run_type_checks=run_type_checks,
        )
        if frame_skip < 1:
            raise RLError(f"`frame_skip` is {frame_skip}, expected 1 or more.")
        self.__dict__["_env"] = env
        self.frame_skip = frame_skip
        self.info_dict_readers: list[InfoReader] = []
        self._next_seed: int | None = None
        self._flag_shape = (*self.batch_size, 1)
        flags = ("done", "terminated", "truncated")
        self.done_spec = Composite(
            {flag: self._flag_spec() for flag in flags}, shape=self.batch_size
        )

    def _flag_spec(self) -> Binary:
        return Binary(1, shape=self._flag_shape, dtype=torch.bool, device=self.device)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        try:
            return super().__getattr__(name)
        except AttributeError:
            env = self.__dict__.get("_env")
            if env is None or name.startswith("__"):
                raise
            return getattr(env, name)

    # ------------------------------------------------------------------ hooks

    def read_action(self, action: torch.Tensor | TensorDictBase) -> Any:  # noqa: ANN401
        """Return the simulator's form of the action.

        Args:
            action: the action; the root TensorDict when the env has several action keys.
        """
        if action.requires_grad or not action.is_cpu:
            action = action.detach().cpu()
        return action.numpy()

    def read_obs(self, observations: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the observation entries, as fresh tensors, by key."""
        if isinstance(observations, Mapping):
            return {key: self._fresh(value) for key, value in observations.items()}
        return {self.observation_keys[0]: self._fresh(observations)}

    @staticmethod
    def _fresh(value: Any) -> torch.Tensor:  # noqa: ANN401
        return torch.from_numpy(np.array(value))

    def read_reward(self, reward: Any) -> torch.Tensor:  # noqa: ANN401
        """Return the reward, [*B, 1] float32."""
        return torch.from_numpy(np.array(reward, np.float32).reshape(self._flag_shape))

    def read_done(
        self,
        terminated: Any = None,  # noqa: ANN401
        truncated: Any = None,  # noqa: ANN401
        done: Any = None,  # noqa: ANN401
    ) -> tuple[Any, Any, Any, bool]:
        """Return `(terminated, truncated, done, stop)`; `stop` ends a frame skip early."""
        if truncated is None:
            truncated = np.zeros_like(terminated) if self.ndim else False
        if done is None:
            done = terminated | truncated
        stop = bool(done.any()) if self.ndim else bool(done)
        return terminated, truncated, done, stop

    def _output_transform(self, step_outputs: tuple) -> tuple:
        """Return `(observation, reward, terminated, truncated, done or None, info)`."""
        observation, reward, terminated, truncated, info = step_outputs
        return observation, reward, terminated, truncated, None, info

    def _reset_output_transform(self, reset_outputs: tuple) -> tuple:
        """Return `(observation, info)`."""
        return reset_outputs

    # --------------------------------------------------------- step and reset

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        plan = self.specs_holder.keys
        keys = plan.action_keys
        action = self.read_action(tensordict.get(keys[0]) if len(keys) == 1 else tensordict)
        total: Any = 0.0
        for _ in range(self.frame_skip):
            observation, reward, terminated, truncated, done, info = self._output_transform(
                self._env.step(action)
            )
            terminated, truncated, done, stop = self.read_done(terminated, truncated, done)
            total = total + reward
            if stop:
                break
        content = self.read_obs(observation)
        content[plan.reward_keys[0]] = self.read_reward(total)
        content["done"] = self._flag(done)
        content["terminated"] = self._flag(terminated)
        content["truncated"] = self._flag(truncated)
        return self._deliver(content, info)

    def _flag(self, flag: Any) -> torch.Tensor:  # noqa: ANN401
        return torch.from_numpy(np.array(flag, bool).reshape(self._flag_shape))

    def _deliver(self, content: dict[str, Any], info: Mapping[str, Any]) -> TensorDict:
        result = TensorDict(content, batch_size=self._batch_size, device=self._device)
        for reader in self.info_dict_readers:
            reader(info, result)
        return result

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        del tensordict
        observation, info = self._reset_output_transform(self._env.reset(**self._seeded(kwargs)))
        return self._deliver(self.read_obs(observation), info)

    def _seeded(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Add the seed that `set_seed` left for the next reset."""
        if self._next_seed is not None:
            kwargs.setdefault("seed", self._next_seed)
            self._next_seed = None
        return kwargs

    def _set_seed(self, seed: int | None) -> None:
        self._next_seed = seed

    # ------------------------------------------------------------------- info

    def set_info_dict_reader(
        self, info_dict_reader: InfoReader | None = None, ignore_private: bool = True
    ) -> GymLikeEnv:
        """Read info entries at every step and reset, and add their specs; returns the env.

        Args:
            info_dict_reader: the reader; None registers every numeric entry, found by a trial step.
            ignore_private: skip keys that start with an underscore (with no reader given).
        """
        if info_dict_reader is None:
            return self.auto_register_info_dict(ignore_private=ignore_private)
        self.info_dict_readers.append(info_dict_reader)
        if isinstance(info_dict_reader, BaseInfoDictReader):
            spec = self.full_observation_spec.clone()
            for key, leaf in info_dict_reader.info_spec.items():
                spec[key] = leaf.expand(*self.batch_size, *leaf.shape).to(
                    self.device or leaf.device
                )
            self.observation_spec = spec
        return self

    def auto_register_info_dict(
        self,
        ignore_private: bool = True,
        *,
        info_dict_reader: BaseInfoDictReader | None = None,
    ) -> GymLikeEnv:
        """Find the numeric entries of the info dict by a reset and a random step, and read them.

        Args:
            ignore_private: skip keys that start with an underscore.
            info_dict_reader: a reader to register instead of the found entries.
        """
        if info_dict_reader is not None:
            return self.set_info_dict_reader(info_dict_reader)
        found: list[Mapping[str, Any]] = []
        self.info_dict_readers.append(lambda info, td: found.append(info) or td)
        try:
            GymLikeEnv._step(self, self.rand_action(self.reset()))
        finally:
            self.info_dict_readers.pop()
        specs: dict = {}
        for info in found:
            specs.update(spec_of_info(info, self.batch_size, ignore_private=ignore_private))
        return self.set_info_dict_reader(default_info_dict_reader(spec=specs, ignore_private=False))

    def close(self, **kwargs: Any) -> None:
        """Close the simulator; closing twice is harmless."""
        if not self.is_closed:
            self._env.close(**kwargs)
        super().close()
