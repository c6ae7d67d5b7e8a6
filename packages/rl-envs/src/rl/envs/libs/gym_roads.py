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
from rl.envs.libs.journal import Journal
from rl.envs.vector.slots import Slot

__all__ = ["TensorStep", "reset_into", "step_into"]

Leaves = list[tuple[Any, tuple[str, ...], LeafCodec]]
Rows = dict[Any, np.ndarray]


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
        action = tensordict[self._action_key]
        if action.requires_grad or not action.is_cpu:
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


def step_into(env: Any, slot: Slot) -> Callable[[], None]:  # noqa: ANN401
    """Return a function that steps a gym env from the rows of a slot into the rows of its "next".

    Args:
        env: a single (not a vector) `GymWrapper`.
        slot: the slot.
    """
    rows = slot.next_rows
    read = _reader(env._action_leaves, slot.root_rows)
    write = _writer(env._obs_leaves, rows, env._frame_reader())
    rewards, done, terminated, truncated = (
        rows[key].reshape(-1) for key in (env.reward_key, "done", "terminated", "truncated")
    )

    def run() -> None:
        observation, rewards[0], over, cut, _ = step(read())
        write(observation)
        terminated[0] = over
        truncated[0] = cut
        done[0] = over or cut

    def run_journal() -> None:
        # `journal.step` without its frame
        action = read()
        journal.actions.append(action.copy() if isinstance(action, np.ndarray) else action)
        observation, rewards[0], over, cut, _ = step(action)
        journal.last = observation
        write(observation)
        terminated[0] = over
        truncated[0] = cut
        done[0] = over or cut

    journal = env._env
    if env.frame_skip == 1 and isinstance(journal, Journal):
        step = journal.env.step
        return run_journal
    step = journal.step if env.frame_skip == 1 else _skipping(journal.step, env.frame_skip)
    return run


def reset_into(env: Any, slot: Slot) -> Callable[[], None]:  # noqa: ANN401
    """Return a function that resets a gym env into the rows of a slot."""
    write = _writer(env._obs_leaves, slot.root_rows, env._frame_reader())
    flags = [slot.root_rows[name].reshape(-1) for name in ("done", "terminated", "truncated")]

    def run() -> None:
        observation, _ = env._env.reset(**env._seeded({}))
        write(observation)
        for flag in flags:
            flag[0] = False

    return run


def _skipping(step: Callable[[Any], tuple], count: int) -> Callable[[Any], tuple]:
    """Return a step that repeats the action up to `count` times and adds the rewards up."""

    def skip(action: Any) -> tuple:  # noqa: ANN401
        total = 0.0
        for _ in range(count):
            observation, reward, terminated, truncated, info = step(action)
            total += reward
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info

    return skip


def _reader(leaves: Leaves, rows: Rows) -> Callable[[], Any]:
    """Return a function that reads an action from rows."""
    if len(leaves) == 1 and not leaves[0][1]:
        key, _, codec = leaves[0]
        return codec.reader(rows[key])
    members = [(path, codec.reader(rows[key])) for key, path, codec in leaves]

    def read() -> dict[str, Any]:
        nested: dict[str, Any] = {}
        for path, read_leaf in members:
            target = nested
            for name in path[:-1]:
                target = target.setdefault(name, {})
            target[path[-1]] = read_leaf()
        return nested

    return read


def _writer(
    leaves: Leaves, rows: Rows, render: Callable[[], np.ndarray] | None
) -> Callable[[Any], None]:
    """Return a function that writes an observation into rows.

    Args:
        leaves: key, path and codec of each leaf.
        rows: the numpy rows by key.
        render: returns the frame, for an env that is seen through pixels.
    """
    members = [(path, codec.writer(rows[key])) for key, path, codec in leaves]
    if len(members) == 1 and not members[0][0] and render is None:
        return members[0][1]

    def write(observation: Any) -> None:  # noqa: ANN401
        for path, write_leaf in members:
            write_leaf(value_at(observation, path))
        if render is not None:
            rows["pixels"][...] = render()

    return write
