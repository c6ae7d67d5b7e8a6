"""Learning curves: returns over frames, with their spread over seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from rl.core.optional import optional

figure = optional("matplotlib.figure", extra="rl-core[plot]")

__all__ = ["RETURN_KEY", "band", "draw_curve", "smooth"]

RETURN_KEY = "episode_return"
_GRID_POINTS = 200

Points = Sequence[tuple[float, float]]


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of each value with up to `window - 1` values before it, shape `[N]`.

    Example:
        >>> smooth(np.array([1.0, 3.0, 5.0]), 2)
        array([1., 2., 4.])
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (total[ends] - total[starts]) / (ends - starts)


def band(runs: Sequence[Points]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a common grid of frames, and the mean, minimum and maximum of the runs' returns there.

    The grid spans the frames that all runs cover; runs without points are left out.

    Example:
        >>> frames, mean, low, high = band([[(0, 0.0), (10, 2.0)], [(0, 2.0), (10, 4.0)]])
        >>> float(frames[-1]), float(mean[-1]), float(low[0]), float(high[0])
        (10.0, 3.0, 0.0, 2.0)
    """
    arrays = [np.asarray(points, dtype=np.float64).T for points in runs if len(points)]
    if not arrays:
        empty = np.zeros(0)
        return empty, empty, empty, empty
    start = max(frames[0] for frames, _ in arrays)
    stop = max(start, min(frames[-1] for frames, _ in arrays))
    grid = np.linspace(start, stop, _GRID_POINTS)
    values = np.stack(
        [np.interp(grid, frames, smooth(y, max(1, len(y) // 50))) for frames, y in arrays]
    )
    return grid, values.mean(0), values.min(0), values.max(0)


def draw_curve(path: str | os.PathLike[str], groups: Mapping[str, Sequence[Points]]) -> None:
    """Draw one line per group, the mean over its runs, in a band from the lowest to the highest.

    Args:
        path: the image; its ending chooses the format.
        groups: the runs of each label, a run being `(frames, return)` points.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    # a Figure without pyplot touches neither the backend nor rcParams
    sheet = figure.Figure(figsize=(7, 4.2), layout="constrained")
    axes = sheet.add_subplot()
    for label, runs in groups.items():
        frames, mean, low, high = band(runs)
        name = label if len(runs) == 1 else f"{label} ({len(runs)} runs)"
        (line,) = axes.plot(frames, mean, label=name)
        if len(runs) > 1:
            axes.fill_between(frames, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
    axes.set_xlabel("frames")
    axes.set_ylabel("episode return")
    axes.grid(alpha=0.3)
    if groups:
        axes.legend()
    sheet.savefig(path, dpi=120)
