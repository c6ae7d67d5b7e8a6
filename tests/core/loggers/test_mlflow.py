import json
import sys

import pytest
import torch

from rl.core.errors import MissingDependencyError
from rl.core.loggers import LOGGERS, MLFlowLogger, get_logger

# of what it stands on
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_missing_mlflow_says_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr("rl.core.loggers.mlflow.mlflow._module", None)
    with (
        LOGGERS.registered("mlflow", MLFlowLogger),
        pytest.raises(MissingDependencyError, match=r'pip install "rl-core\[mlflow\]"'),
    ):
        get_logger("mlflow", str(tmp_path), "run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store for all tests: making its tables takes seconds."""
    pytest.importorskip("mlflow")
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def logger(folder):
    logger = MLFlowLogger.in_folder("experiment", str(folder), tags={"kind": 1}, run_name="first")
    yield logger
    logger.shutdown()


def history(logger, name):
    metrics = logger.experiment.get_metric_history(logger.run_id, name)
    return [(metric.step, metric.value) for metric in metrics]


def test_scalars_and_metrics(logger):
    logger.log_scalar("loss", 0.5, step=10)
    logger.log_scalar("loss", torch.tensor(0.25))
    assert logger.log_metrics({"a": {"b": 1}, "loss": 0.125}) == {"a/b": 1.0, "loss": 0.125}
    assert history(logger, "loss") == [(10, 0.5), (11, 0.25), (12, 0.125)]
    assert history(logger, "a/b") == [(0, 1.0)]


def test_more_metrics_and_settings_than_the_store_takes_at_once(logger):
    logger.log_metrics({f"m{i}": i for i in range(250)}, step=0)
    logger.log_hparams({"net": {"hidden": (64, 64)}, **{f"p{i}": i for i in range(150)}})
    data = logger.experiment.get_run(logger.run_id).data
    assert len(data.metrics) == 250
    assert len(data.params) == 151
    assert data.params["net.hidden"] == "[64, 64]"


def test_histogram_is_a_file_of_counts_and_edges(logger):
    logger.log_histogram("layer/w", torch.tensor([0.0, 0.1, 1.0]), step=4, bins=2)
    path = logger.experiment.download_artifacts(logger.run_id, "histograms/layer/w_4.json")
    with open(path) as file:
        assert json.load(file) == {"counts": [2, 1], "edges": [0.0, 0.5, 1.0]}


def test_video_is_a_file(logger):
    pytest.importorskip("av")
    logger.log_video("v", torch.zeros(3, 1, 16, 16, dtype=torch.uint8), step=5)
    (file,) = logger.experiment.list_artifacts(logger.run_id, "videos")
    assert file.path == "videos/v_5.mp4"
    assert file.file_size > 0


def test_a_run_ends_and_goes_on(logger, folder):
    logger.log_scalar("loss", 0.5, step=10)
    run = logger.experiment.get_run(logger.run_id)
    assert (run.info.run_name, run.data.tags["kind"]) == ("first", "1")
    state = logger.state_dict()
    logger.close()
    assert logger.experiment.get_run(logger.run_id).info.status == "FINISHED"
    arguments = MLFlowLogger.resume_arguments(state)
    again = MLFlowLogger.in_folder("experiment", str(folder), **arguments)
    again.load_state_dict(state)
    assert again.experiment.get_run(again.run_id).info.status == "RUNNING"
    again.log_scalar("loss", 0.25)
    again.close()
    assert history(again, "loss") == [(10, 0.5), (11, 0.25)]


def test_loggers_live_side_by_side(logger, folder):
    other = MLFlowLogger.in_folder("experiment", str(folder))
    logger.log_scalar("loss", 1.0)
    other.log_scalar("loss", 2.0)
    assert history(logger, "loss") == [(0, 1.0)]
    assert history(other, "loss") == [(0, 2.0)]
    other.close()
