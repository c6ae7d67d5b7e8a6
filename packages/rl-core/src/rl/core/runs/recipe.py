"""What a recipe is, and how recipes and their runs are found.

A recipe is a module, registered as an entry point of the group `rl.recipes`, that holds

- `Config`: a dataclass whose fields are the flags of `rl train`. It has `seed: int`,
  `out: str | None` and `total_frames: int`; `checkpoint_interval_s: float` is read when present.
- `train(config, run=None) -> Result`: trains; goes on from the run's checkpoint when it has one.
- `evaluate(config, run, episodes, video=None) -> Evaluation`: plays the saved policy.

`train` reads

    def train(config: Config, run: Run | None = None) -> Result:
        run = run or Run.start("ppo", config)
        ...  # seed, build the env, the policy, the loss, the collector
        checkpoint = Checkpoint(loss=loss, optim=optim, collector=collector, rng=GlobalRNGState())
        frames = run.restore(checkpoint)
        while frames < config.total_frames:
            ...  # collect and learn
            run.log(frames, episode_return=..., loss=...)
            run.safe_point(frames, checkpoint)
        return run.finish(frames, checkpoint, lambda: evaluation_of(policy))
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Protocol

from rl.core.errors import CheckpointError, NotRegisteredError
from rl.core.registry import Registry
from rl.core.runs.config import config_from_json
from rl.core.runs.result import Evaluation, Result
from rl.core.runs.run import Run, read_run_file

__all__ = ["RECIPES", "Recipe", "load_recipe", "open_run"]

RECIPES = Registry("rl.recipes")


class Recipe(Protocol):
    """The module of a recipe; see the head of this module."""

    Config: type

    def train(self, config: Any, run: Run | None = None) -> Result:  # noqa: ANN401
        """Train, from the run's checkpoint when it has one."""
        ...

    def evaluate(
        self,
        config: Any,  # noqa: ANN401
        run: Run,
        episodes: int,
        video: str | None = None,
    ) -> Evaluation:
        """Play the saved policy without exploration; record the first episode in `video`."""
        ...


def load_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises:
        NotRegisteredError: the name is unknown, or what it names is no recipe.
        MissingDependencyError: its wheel lacks a library.

    Example:
        >>> load_recipe("pppo-of-the-docs")
        Traceback (most recent call last):
        rl.core.errors.NotRegisteredError: `pppo-of-the-docs` is not registered in `rl.recipes`. ...
    """
    recipe: Any = RECIPES.load(name)
    lacking = [part for part in ("Config", "train", "evaluate") if not hasattr(recipe, part)]
    if lacking or not dataclasses.is_dataclass(recipe.Config):
        what = (
            f"lacks `{'`, `'.join(lacking)}`" if lacking else "has a `Config` that is no dataclass"
        )
        raise NotRegisteredError(
            f"`{name}` in `rl.recipes` is no recipe: it {what}. See `rl.core.runs.recipe`."
        )
    return recipe


def open_run(folder: str | Path) -> tuple[Recipe, Run]:
    """Return the recipe and the run of a folder that `rl train` wrote.

    Raises:
        CheckpointError: the folder holds no run, or its config is damaged.
        NotRegisteredError: its recipe is not installed.
    """
    folder = Path(folder)
    content = read_run_file(folder, "config.json")
    for name in ("recipe", "config"):
        if name not in content:
            raise CheckpointError(f"`{folder / 'config.json'}` lacks field `{name}`.")
    recipe = load_recipe(content["recipe"])
    config = config_from_json(recipe.Config, content["config"])
    return recipe, Run(content["recipe"], config, folder)
