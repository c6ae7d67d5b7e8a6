import sys

import pytest
import torch

from rl.core.errors import MissingDependencyError
from rl.core.loggers import LOGGERS, ProcessLogger, WandbLogger, get_logger


def test_missing_wandb_says_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("rl.core.loggers.wandb.wandb._module", None)
    with (
        LOGGERS.registered("wandb", WandbLogger),
        pytest.raises(MissingDependencyError, match=r'pip install "rl-core\[wandb\]"'),
    ):
        get_logger("wandb", str(tmp_path), "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory, read_wandb):
    """What one offline run holds: its history, its configuration, its id and its folder."""
    pytest.importorskip("wandb")
    pytest.importorskip("av")
    folder = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_SILENT", "true")
        logger = WandbLogger("run", offline=True, save_dir=str(folder), project="p", group="g")
        logger.log_hparams({"lr": 0.1, "net": {"hidden": (64, 64)}})
        logger.log_scalar("loss", 0.5, step=10)
        logger.log_scalar("loss", torch.tensor(0.25))
        assert logger.log_metrics({"a": {"b": 1}, "c": 2.0}, step=3) == {"a/b": 1.0, "c": 2.0}
        logger.log_histogram("w", torch.tensor([0.0, 0.1, 1.0]), step=4, bins=2)
        logger.log_video("v", torch.zeros(3, 1, 16, 16, dtype=torch.uint8), step=5)
        with pytest.raises(ValueError, match="expected one number"):
            logger.log_scalar("loss", torch.zeros(2))
        assert logger.is_alive
        state = logger.state_dict()
        logger.close()
        logger.shutdown()
        assert not logger.is_alive
    history, config, kept = read_wandb(folder)
    return history, config, state, kept


def lines(history, name):
    return [(line["trainer/step"], line[name]) for line in history if name in line]


def test_scalars_have_their_step_and_never_go_missing(run):
    history, *_ = run
    assert lines(history, "loss") == [(10, 0.5), (11, 0.25)]
    # a step before those of other names is kept
    assert lines(history, "a/b") == [(3, 1.0)]
    assert any({"a/b", "c"} <= line.keys() for line in history), "one record per step"


def test_histogram_holds_counts_and_edges(run):
    ((step, value),) = lines(run[0], "w")
    assert (step, value["values"], value["bins"]) == (4, [2, 1], [0.0, 0.5, 1.0])


def test_video_is_a_file_of_the_run(run):
    history, *_, folder = run
    ((step, value),) = lines(history, "v")
    assert step == 5
    assert (folder / "files" / value["path"]).stat().st_size > 0


def test_settings_and_packages_are_the_configuration(run):
    config = run[1]
    assert config["lr"] == 0.1
    assert config["net"] == {"hidden": [64, 64]}
    assert "torch" in config["env"]["packages"]


def test_state_names_the_run_to_go_on_with(run):
    state = run[2]
    assert state["next_step"]["loss"] == 12
    assert run[3].name.endswith(state["id"])
    assert WandbLogger.resume_arguments(state) == {"id": state["id"]}
    assert WandbLogger.resume_arguments({"next_step": {}}) == {}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_run_in_a_process_of_its_own(tmp_path, monkeypatch, read_wandb):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    make, options = WandbLogger.in_folder, {"offline": True, "project": "p"}
    logger = ProcessLogger(make, "run", str(tmp_path), mp_context="fork", **options)
    logger.client().log_metrics({"loss": 0.5}, step=7)
    assert logger.state_dict()["id"]
    logger.shutdown()
    history, *_ = read_wandb(tmp_path)
    assert lines(history, "loss") == [(7, 0.5)]
