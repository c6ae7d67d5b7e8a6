"""What a finished run reports: evaluation and result."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Evaluation", "Result"]


@dataclass(frozen=True)
class Evaluation:
    """Episodes played without exploration.

    Attributes:
        returns: undiscounted return of each episode.
        lengths: steps of each episode, empty when not measured.
        metrics: other numbers worth reporting, by name.

    Example:
        >>> evaluation = Evaluation([1.0, 3.0])
        >>> evaluation.mean, evaluation.std
        (2.0, 1.0)
    """

    returns: Sequence[float]
    lengths: Sequence[int] = ()
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean return, NaN without episodes."""
        return statistics.fmean(self.returns) if self.returns else math.nan

    @property
    def std(self) -> float:
        """Population standard deviation of the returns, NaN without episodes."""
        return statistics.pstdev(self.returns) if self.returns else math.nan


@dataclass(frozen=True)
class Result:
    """What `train` returns and `result.json` holds.

    Attributes:
        eval_return_mean: mean return of the final evaluation.
        eval_return_std: its standard deviation over episodes.
        frames: environment steps (or tokens) used for training.
        wall_s: seconds of training, summed over interruptions.
        fps: frames per second of training.
        seed: the run's seed.
        versions: see `versions`.
        metrics: other numbers of the final evaluation.
        folder: the run folder, `None` for a run that keeps nothing on disk.

    Example:
        >>> Result(475.0, 0.0, 1000, 2.0, 500.0, 0, {}).to_json()["fps"]
        500.0
    """

    eval_return_mean: float
    eval_return_std: float
    frames: int
    wall_s: float
    fps: float
    seed: int
    versions: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    folder: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of `result.json`."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del content["folder"]
        if not self.metrics:
            del content["metrics"]
        return content
