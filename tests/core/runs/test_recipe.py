import types
from dataclasses import dataclass

import pytest

from rl.core.errors import CheckpointError, NotRegisteredError
from rl.core.runs import RECIPES, load_recipe, open_run


def test_a_module_without_the_parts_is_no_recipe():
    with (
        RECIPES.registered("half", types.SimpleNamespace(Config=1, train=2)),
        pytest.raises(NotRegisteredError, match="lacks `evaluate`"),
    ):
        load_recipe("half")


def test_a_config_must_be_a_dataclass():
    module = types.SimpleNamespace(Config=dict, train=2, evaluate=3)
    with (
        RECIPES.registered("plain", module),
        pytest.raises(NotRegisteredError, match="no dataclass"),
    ):
        load_recipe("plain")


def test_open_run_gives_config_and_recipe_back(toy, tmp_path):
    out = tmp_path / "run"
    config = toy.Config(seed=4, total_frames=10, out=str(out), hidden=(3, 2))
    result = toy.train(config)
    recipe, run = open_run(out)
    assert recipe is toy
    assert run.config == config
    assert toy.evaluate(run.config, run, 2).mean == result.eval_return_mean


def test_training_in_python_needs_no_folder(toy):
    result = toy.train(toy.Config(total_frames=100))
    assert result.frames == 100
    assert result.folder is None


def test_the_seed_decides_the_result(toy):
    first, again, other = (
        toy.train(toy.Config(total_frames=100, seed=seed)).eval_return_mean for seed in (0, 0, 1)
    )
    assert first == again != other


def test_a_config_field_that_left_the_recipe_is_named(toy, tmp_path):
    toy.train(toy.Config(total_frames=10, out=str(tmp_path / "run")))

    @dataclass
    class Config:
        seeds: int = 0

    toy.Config = Config
    with pytest.raises(CheckpointError, match=r"config.json has field `seed`.*`seeds`"):
        open_run(tmp_path / "run")
