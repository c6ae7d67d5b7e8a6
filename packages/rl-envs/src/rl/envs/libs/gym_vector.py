"""Gym's vector envs: the observation that ends an episode, and the one that starts the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rl.core import RLError
from rl.envs.libs.gym_backend import gym_backend

__all__ = ["VectorResets", "is_vector_env"]


def is_vector_env(env: Any) -> bool:  # noqa: ANN401
    """Tell whether `env` is one of gym's vector envs."""
    return hasattr(env, "single_action_space") and hasattr(env, "num_envs")


class VectorResets:
    """Gives a vector env of any autoreset mode partial resets and true final observations.

    gymnasium's `SyncVectorEnv` and `AsyncVectorEnv` take `reset(options={"reset_mask": mask})` in
    every
    mode. An env in the mode `SAME_STEP` has already begun the next episode when an episode ends:
    its first
    observation is kept here until `reset` asks for it, and the final one comes out of the info
    dict.

    Args:
        env: a gym vector env.
    """

    def __init__(self, env: Any) -> None:  # noqa: ANN401
        self.env = env
        mode = (getattr(env, "metadata", None) or {}).get("autoreset_mode")
        self.mode = getattr(mode, "name", "NEXT_STEP")
        vector = gym_backend("vector")
        self.takes_mask = self.mode == "DISABLED" or isinstance(
            getattr(env, "unwrapped", env), (vector.SyncVectorEnv, vector.AsyncVectorEnv)
        )
        self._begun: Any = None
        self._begun_mask: np.ndarray | None = None

    def final_observation(self, observation: Any, done: np.ndarray, info: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Return the observation of the step itself, also where the env has reset already.

        Args:
            observation: what `step` returned, batched.
            done: [N] bool.
            info: the info dict of `step`.

        Raises:
            RLError: when the env resets in the same step and reports no final observation.
        """
        if self.mode != "SAME_STEP" or not done.any():
            return observation
        self._begun, self._begun_mask = observation, done.copy()
        final = info.get("final_obs", info.get("final_observation"))
        if final is None:
            raise RLError(
                "The vector env resets in the step that ends an episode, but its info has no "
                '`"final_obs"`: build it with `autoreset_mode=AutoresetMode.DISABLED`.'
            )
        return _replace_rows(observation, final, done)

    def reset(self, mask: np.ndarray | None, **kwargs: Any) -> tuple[Any, Mapping[str, Any]]:
        """Reset all envs, or those of the [N] mask; rows that are not reset hold anything.

        Raises:
            RLError: when the env cannot reset the envs of the mask alone.
        """
        if mask is None or (mask.all() and self._begun is None):
            self._begun = self._begun_mask = None
            return self.env.reset(**kwargs)
        if self._begun_mask is not None and not (mask & ~self._begun_mask).any():
            return self._begun, {}
        if not self.takes_mask:
            raise RLError(
                f"{type(self.env).__name__} (autoreset mode {self.mode}) cannot reset some of its "
                "envs. Build it with `autoreset_mode=AutoresetMode.DISABLED`, as "
                "`GymEnv(env_name, num_envs=...)` does."
            )
        options = {**(kwargs.pop("options", None) or {}), "reset_mask": mask}
        return self.env.reset(options=options, **kwargs)


def _replace_rows(observation: Any, final: Any, done: np.ndarray) -> Any:  # noqa: ANN401
    """Return a copy of `observation` whose rows where `done` is true come from `final`."""
    if isinstance(observation, Mapping):
        return {
            key: _replace_rows(value, _member(final, key, done), done)
            for key, value in observation.items()
        }
    if isinstance(observation, tuple):
        return tuple(
            _replace_rows(value, _member(final, index, done), done)
            for index, value in enumerate(observation)
        )
    result = np.array(observation)
    for row in np.flatnonzero(done):
        result[row] = final[row]
    return result


def _member(final: Any, key: Any, done: np.ndarray) -> Any:  # noqa: ANN401
    """Return a member of the final observations: a struct of arrays, or an array of structs."""
    if isinstance(final, (Mapping, tuple)):
        return final[key]
    return [value[key] if over else None for value, over in zip(final, done, strict=True)]
