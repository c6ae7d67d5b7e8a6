"""A journal of an episode: what it takes to bring a new simulator to where an old one stopped."""

from __future__ import annotations

from typing import Any

import numpy as np

from rl.core import CheckpointError

__all__ = ["Journal"]


class Journal:
    """Stands before a gymnasium env and remembers how its episode began and which actions followed.

    An env whose only randomness is its `np_random` is a function of the generator's state at the
    reset and of the actions since. Replaying them brings a new env of the same kind to the same
    state, bit for bit, whatever the simulator keeps inside. The last observation is kept to prove
    it.

    Args:
        env: a single gymnasium env.

    Attributes:
        env: the gymnasium env.
        actions: copies of the actions since the reset.
        last: the last observation.

    Example:
        >>> import gymnasium
        >>> old, new = (Journal(gymnasium.make("CartPole-v1")) for _ in range(2))
        >>> _ = old.reset(seed=3), old.step(0), old.step(1)
        >>> new.restore(old.state())
        >>> bool((new.step(1)[0] == old.step(1)[0]).all())
        True
    """

    def __init__(self, env: Any) -> None:  # noqa: ANN401
        self.env = env
        self._start: dict[str, Any] | None = None
        self.actions: list[Any] = []
        self.last: Any = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name == "env":  # not set yet, as while a copy is made
            raise AttributeError(name)
        return getattr(self.env, name)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple:
        """Reset, and start a new page."""
        generator = None if seed is not None else self.env.unwrapped.np_random.bit_generator.state
        self._start = {"seed": seed, "options": options, "generator": generator}
        self.actions = []
        result = self.env.reset(seed=seed, options=options)
        self.last = result[0]
        return result

    def step(self, action: Any) -> tuple:  # noqa: ANN401
        """Step, and note the action."""
        self.actions.append(action.copy() if isinstance(action, np.ndarray) else action)
        result = self.env.step(action)
        self.last = result[0]
        return result

    def state(self) -> dict[str, Any]:
        """Return the page: nested dicts of numbers, strings, arrays and None."""
        return {"start": self._start, "actions": _pack(self.actions), "last": self.last}

    def restore(self, state: dict[str, Any]) -> None:
        """Replay the page that `state` returned.

        Raises:
            CheckpointError: the replay ends in another observation.
        """
        start = state["start"]
        if start is None:
            return
        if start["generator"] is not None:
            self.env.unwrapped.np_random.bit_generator.state = start["generator"]
        observation, _ = self.reset(seed=start["seed"], options=start["options"])
        self._start = start
        for action in state["actions"]:
            observation = self.step(action)[0]
        if not _equal(observation, state["last"]):
            raise CheckpointError(
                f"{self.env.unwrapped.__class__.__name__} cannot be resumed: after replaying "
                f"{len(state['actions'])} actions its observation differs from the saved "
                "one. It draws "
                "random numbers from elsewhere than `np_random`, or another version is installed."
            )


def _pack(actions: list[Any]) -> Any:  # noqa: ANN401
    """Return the actions as one array where they are numbers or arrays, as a list otherwise."""
    if actions and all(isinstance(action, (int, np.integer, np.ndarray)) for action in actions):
        return np.stack(actions)
    return list(actions)


def _equal(one: Any, other: Any) -> bool:  # noqa: ANN401
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
