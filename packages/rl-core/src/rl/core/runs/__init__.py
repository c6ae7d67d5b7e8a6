"""Runs and recipes: the folder a training lives in, and the protocol that recipes follow."""

from rl.core.provenance import versions
from rl.core.runs.curve import draw_curve
from rl.core.runs.lock import RunBusyError
from rl.core.runs.metrics import read_metrics
from rl.core.runs.recipe import RECIPES, Recipe, load_recipe, open_run
from rl.core.runs.result import Evaluation, Result
from rl.core.runs.run import Reporter, Run, RunExistsError, RunStopped

__all__ = [
    "RECIPES",
    "Evaluation",
    "Recipe",
    "Reporter",
    "Result",
    "Run",
    "RunBusyError",
    "RunExistsError",
    "RunStopped",
    "draw_curve",
    "load_recipe",
    "open_run",
    "read_metrics",
    "versions",
]
