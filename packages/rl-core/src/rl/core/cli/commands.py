"""What each command of `rl` does; `main` parses their arguments."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rl.core.cli.progress import reporter_for
from rl.core.errors import CheckpointError
from rl.core.optional import optional
from rl.core.runs.curve import RETURN_KEY, draw_curve
from rl.core.runs.metrics import read_metrics
from rl.core.runs.recipe import RECIPES, Recipe, load_recipe, open_run
from rl.core.runs.result import Evaluation, Result
from rl.core.runs.run import Run, RunStopped, read_run_file

tyro = optional("tyro", extra="rl-core[cli]")

__all__ = ["evaluate", "list_recipes", "plot", "resume", "train"]

STOPPING_S = 30.0


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def list_recipes() -> int:
    """Print the recipes with the wheel each comes from."""
    entries = RECIPES.entries()
    if not entries:
        say('No recipe is installed: `pip install "rl-objectives[recipes]"`.')
    width = max(map(len, entries), default=0)
    for name, entry in entries.items():
        say(f"{name:<{width}}  {entry.wheel}")
    return 0


def train(name: str, flags: Sequence[str]) -> int:
    """Train the recipe called `name` with its flags."""
    recipe = load_recipe(name)
    config: Any = tyro.cli(recipe.Config, args=list(flags), prog=f"rl train {name}")
    if config.out is None:
        config = dataclasses.replace(config, out=f"runs/{name}-{datetime.now():%Y%m%d-%H%M%S}")
    return _drive(recipe, Run.start(name, config))


def resume(folder: str) -> int:
    """Continue the run in `folder`."""
    recipe, run = open_run(folder)
    # a run that was just told to stop may still be saving
    run.lock(wait_s=STOPPING_S)
    if (Path(folder) / "result.json").exists():
        content = read_run_file(Path(folder), "result.json")
        say(f"`{folder}` is finished, after {content['frames']} frames. See it with `rl eval`.")
        run.close()
        return 0
    return _drive(recipe, run)


def evaluate(folder: str, *, episodes: int, video: str | None = None) -> int:
    """Play the policy of the run in `folder` and print its returns."""
    recipe, run = open_run(folder)
    if not run.has_checkpoint:
        raise CheckpointError(
            f"`{folder}` holds no checkpoint yet, so there is no policy to play. "
            f"`rl resume {folder}` trains on."
        )
    evaluation: Evaluation = recipe.evaluate(run.config, run, episodes, video)
    spread = f"{evaluation.mean:.2f} ± {evaluation.std:.2f}"
    say(f"return {spread} over {len(evaluation.returns)} episodes")
    if evaluation.lengths:
        say(f"length {sum(evaluation.lengths) / len(evaluation.lengths):.1f} steps")
    for key, value in evaluation.metrics.items():
        say(f"{key} {value:.4g}")
    if video is not None:
        say(f"video {video}")
    return 0


def plot(folders: Sequence[str], *, out: str) -> int:
    """Draw the returns of runs over frames; runs that differ only in their seed share a line."""
    groups: dict[str, list[list[tuple[float, float]]]] = {}
    for folder in map(Path, folders):
        content = read_run_file(folder, "config.json")
        records = read_metrics(folder / "metrics.jsonl")
        points = [(r["frames"], r[RETURN_KEY]) for r in records if r.get(RETURN_KEY) is not None]
        if points:
            groups.setdefault(_label(content), []).append(points)
        else:
            say(f"`{folder}` has no `{RETURN_KEY}` yet: left out.")
    if not groups:
        raise CheckpointError(
            f"None of the {len(folders)} runs has logged an `{RETURN_KEY}`: nothing to plot."
        )
    draw_curve(out, groups)
    say(f"{sum(map(len, groups.values()))} runs drawn in {out}")
    return 0


def _drive(recipe: Recipe, run: Run) -> int:
    total = getattr(run.config, "total_frames", None)
    run.reporter = reporter_for(sys.stdout, total)
    try:
        with run.stop_on_signals():
            result = recipe.train(run.config, run)
    except RunStopped as stopped:
        run.reporter.close()
        say(f"Stopped at {stopped.frames} frames, saved. `rl resume {run.folder}` continues.")
        return 128 + stopped.signum if stopped.signum else 0
    finally:
        run.reporter.close()
        run.close()
    _show(result)
    return 0


def _show(result: Result) -> None:
    say(
        f"return {result.eval_return_mean:.2f} ± {result.eval_return_std:.2f}  "
        f"frames {result.frames}  {result.wall_s:.1f} s  {result.fps:.0f} fps  {result.folder}"
    )


def _label(content: dict[str, Any]) -> str:
    config = content["config"]
    parts = [content["recipe"], config.get("env") or config.get("model")]
    return " ".join(str(part) for part in parts if part)
