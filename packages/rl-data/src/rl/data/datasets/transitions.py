"""From what sources store to transitions: rows that hold a step and what followed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["as_column", "closed_episode", "done_flags", "episode_rows", "map_nested"]


def map_nested(fn: Callable[[Any], Any], nested: Any) -> Any:  # noqa: ANN401
    """Return a nest of dicts with `fn` applied to its leaves.

    Example:
        >>> map_nested(len, {"a": "xy", "b": {"c": "z"}})
        {'a': 2, 'b': {'c': 1}}
    """
    if isinstance(nested, Mapping):
        return {key: map_nested(fn, value) for key, value in nested.items()}
    return fn(nested)


def as_column(values: Any) -> np.ndarray:  # noqa: ANN401
    """Return `[n]` or `[n, 1]` values as `[n, 1]`.

    Example:
        >>> as_column([1.0, 2.0]).shape
        (2, 1)
    """
    array = np.asarray(values)
    return array.reshape(len(array), 1)


def done_flags(terminated: Any, truncated: Any) -> dict[str, np.ndarray]:  # noqa: ANN401
    """Return the three flags `[n, 1]`, with `done` their union.

    Example:
        >>> done_flags([False, True], [True, False])["done"].tolist()
        [[True], [True]]
    """
    terminated, truncated = as_column(terminated) != 0, as_column(truncated) != 0
    return {"done": terminated | truncated, "terminated": terminated, "truncated": truncated}


def episode_rows(
    *,
    states: Mapping[str, Any],
    action: Any,  # noqa: ANN401
    reward: Any,  # noqa: ANN401
    terminated: Any,  # noqa: ANN401
    truncated: Any,  # noqa: ANN401
    episode: int,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one episode as transitions.

    An episode that ends without a flag was cut: its last transition is marked truncated.

    Args:
        states: entries `[n + 1, ...]` by name, such as `"observation"`: what the agent sees before
            each step and after the last.
        action: `[n, ...]`, or a nest of those.
        reward: `[n]` or `[n, 1]`.
        terminated: `[n]` or `[n, 1]`.
        truncated: `[n]` or `[n, 1]`.
        episode: number of the episode, written to each row.
        extra: further entries `[n, ...]` of the root.

    Returns:
        A nest of arrays `[n, ...]`: the states, `action`, `episode`, the three done flags (all
        False) and `extra` at the root; the states, `reward` and the done flags under `"next"`.

    Example:
        >>> rows = episode_rows(states={"observation": np.arange(3)}, action=np.zeros(2),
        ...     reward=[1.0, 2.0], terminated=[0, 0], truncated=[0, 0], episode=7)
        >>> rows["next"]["observation"].tolist(), rows["next"]["truncated"].tolist()
        ([1, 2], [[False], [True]])
    """
    flags = done_flags(terminated, truncated)
    if not flags["done"][-1, 0]:
        flags["truncated"][-1], flags["done"][-1] = True, True
    count = len(flags["done"])
    none = np.zeros((count, 1), bool)
    return {
        **map_nested(lambda leaf: leaf[:-1], dict(states)),
        "action": action,
        "episode": np.full(count, episode, np.int64),
        "done": none,
        "terminated": none,
        "truncated": none,
        **(extra or {}),
        "next": {
            **map_nested(lambda leaf: leaf[1:], dict(states)),
            "reward": as_column(reward),
            **flags,
        },
    }


def closed_episode(
    states: Mapping[str, Any],
    steps: Mapping[str, Any],
    terminated: Any,  # noqa: ANN401
) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """Return an episode whose last state is known.

    Where a source stores as many states as steps, what followed the last step is unknown. If that
    step terminated it is taken as zero, which no value estimator reads; otherwise the step is left
    out.

    Args:
        states: entries `[n, ...]` or `[n + 1, ...]`.
        steps: entries `[n, ...]`.
        terminated: `[n]` or `[n, 1]`.

    Returns:
        States `[m + 1, ...]`, steps `[m, ...]` and terminated `[m]`, where m is n or n - 1.

    Example:
        >>> states, steps, _ = closed_episode({"o": np.arange(3)}, {"a": np.arange(3)}, [0, 0, 0])
        >>> states["o"].tolist(), steps["a"].tolist()
        ([0, 1, 2], [0, 1])
    """
    terminated = np.asarray(terminated).reshape(-1) != 0
    count = len(terminated)
    lengths = set(_lengths(states))
    if lengths == {count + 1}:
        return dict(states), dict(steps), terminated
    if terminated[-1]:
        closed = map_nested(lambda leaf: np.concatenate([leaf, np.zeros_like(leaf[:1])]), states)
        return closed, dict(steps), terminated
    return dict(states), map_nested(lambda leaf: leaf[:-1], steps), terminated[:-1]


def _lengths(nested: Any) -> Iterator[int]:  # noqa: ANN401
    if isinstance(nested, Mapping):
        for value in nested.values():
            yield from _lengths(value)
    else:
        yield len(nested)
