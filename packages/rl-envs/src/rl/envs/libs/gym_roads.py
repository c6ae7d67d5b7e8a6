"""The quick roads of `GymWrapper`: gym values straight into tensors, or into rows of buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torch import from_numpy

from rl.envs.libs.gym_codecs import LeafCodec
from rl.envs.libs.gym_spaces import value_at
from rl.envs.vector.slots import Slot

__all__ = ["ResetSlot", "StepSlot", "TensorStep"]

Leaves = list[tuple[Any, tuple[str, ...], LeafCodec]]


class TensorStep:
    """Steps a gym env with one action leaf and one observation leaf, and builds its "next".

    Args:
        env: a single (not a vector) `GymWrapper`.
    """

    def __init__(self, env: Any) -> None:  # noqa: ANN401
        ((self._action_key, _, action),) = env._action_leaves
        ((self._key, self._path, observation),) = env._obs_leaves
        self._decode, self._encode = action.decode, observation.encode
        self._step = env._env.step
        self._reward_key = env.reward_key

    @staticmethod
    def serves(env: Any) -> bool:  # noqa: ANN401
        """Tell whether `env` has the single leaves, plain keys and place that this road needs."""
        leaves = env._action_leaves + env._obs_leaves
        return (
            len(env._action_leaves) == len(env._obs_leaves) == 1
            and all(isinstance(key, str) and codec.tensor for key, _, codec in leaves)
            and not env._action_leaves[0][1]
            and not env.from_pixels
            and env.frame_skip == 1
        )

    def run(self, tensordict: TensorDictBase, device: torch.device | None) -> TensorDict:
        """Step, and return fresh tensors."""
        action = tensordict.get(self._action_key)
        if action.requires_grad or action.device.type != "cpu":
            action = action.detach().cpu()
        observation, reward, terminated, truncated, _ = self._step(self._decode(action.numpy()))
        if self._path:
            observation = value_at(observation, self._path)
        content = {
            self._key: from_numpy(self._encode(observation)),
            self._reward_key: from_numpy(np.array((reward,), np.float32)),
            "done": from_numpy(np.array((terminated or truncated,), np.bool_)),
            "terminated": from_numpy(np.array((terminated,), np.bool_)),
            "truncated": from_numpy(np.array((truncated,), np.bool_)),
        }
        return TensorDict(content, device=device)


class _Observation:
    """Writes an observation into rows.

    Args:
        leaves: key, path and codec of each leaf.
        rows: the numpy rows by key.
        render: returns the frame, for an env that is seen through pixels.
    """

    def __init__(self, leaves: Leaves, rows: dict, render: Callable[[], np.ndarray] | None) -> None:
        self._leaves = [(path, codec.write, rows[key]) for key, path, codec in leaves]
        self._render = render
        self._pixels = rows.get("pixels") if render is not None else None
        if len(self._leaves) == 1 and not self._leaves[0][0] and render is None:
            _, self._write, self._row = self._leaves[0]
            self.write = self._write_one

    def _write_one(self, observation: Any) -> None:  # noqa: ANN401
        self._write(observation, self._row)

    def write(self, observation: Any) -> None:  # noqa: ANN401
        for path, write, row in self._leaves:
            write(value_at(observation, path), row)
        if self._render is not None:
            self._pixels[...] = self._render()


class _Action:
    """Reads an action from rows."""

    def __init__(self, leaves: Leaves, rows: dict) -> None:
        self._leaves = [(path, codec.decode, rows[key]) for key, path, codec in leaves]
        if len(self._leaves) == 1 and not self._leaves[0][0]:
            _, self._decode, self._row = self._leaves[0]
            self.read = self._read_one

    def _read_one(self) -> Any:  # noqa: ANN401
        return self._decode(self._row)

    def read(self) -> dict[str, Any]:
        nested: dict[str, Any] = {}
        for path, decode, row in self._leaves:
            target = nested
            for name in path[:-1]:
                target = target.setdefault(name, {})
            target[path[-1]] = decode(row)
        return nested


class StepSlot:
    """Steps a gym env from the rows of a slot into the rows of its "next".

    Args:
        env: a single (not a vector) `GymWrapper`.
        slot: the slot.
    """

    def __init__(self, env: Any, slot: Slot) -> None:  # noqa: ANN401
        rows = slot.next_rows
        self._step = env._env.step
        self._frame_skip = env.frame_skip
        self._action = _Action(env._action_leaves, slot.root_rows)
        self._observation = _Observation(env._obs_leaves, rows, env._frame_reader())
        self._reward = rows[env.reward_key].reshape(-1)
        self._done = rows["done"].reshape(-1)
        self._terminated = rows["terminated"].reshape(-1)
        self._truncated = rows["truncated"].reshape(-1)
        self.run = self._run if self._frame_skip == 1 else self._run_skipping

    def _run(self) -> None:
        observation, self._reward[0], terminated, truncated, _ = self._step(self._action.read())
        self._observation.write(observation)
        self._terminated[0] = terminated
        self._truncated[0] = truncated
        self._done[0] = terminated or truncated

    def _run_skipping(self) -> None:
        action = self._action.read()
        total = 0.0
        for _ in range(self._frame_skip):
            observation, reward, terminated, truncated, _ = self._step(action)
            total += reward
            if terminated or truncated:
                break
        self._observation.write(observation)
        self._reward[0] = total
        self._terminated[0] = terminated
        self._truncated[0] = truncated
        self._done[0] = terminated or truncated


class ResetSlot:
    """Resets a gym env into the rows of a slot."""

    def __init__(self, env: Any, slot: Slot) -> None:  # noqa: ANN401
        self._env = env
        self._observation = _Observation(env._obs_leaves, slot.root_rows, env._frame_reader())
        self._flags = [slot.root_rows[name] for name in ("done", "terminated", "truncated")]

    def run(self) -> None:
        """Reset."""
        env = self._env
        observation, _ = env._env.reset(**env._seeded({}))
        self._observation.write(observation)
        for flag in self._flags:
            flag[...] = False
