import json
import os
import sqlite3

import pytest
import torch

from rl.core.loggers import (
    CSVLogger,
    MLFlowLogger,
    ProcessLogger,
    TensorboardLogger,
    TrackioLogger,
    WandbLogger,
    get_logger,
)
from rl.core.testing import check_logger

# of what the backends stand on; forks are quick
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def folders(tmp_path):
    """Gives each logger a folder of its own."""

    def new():
        new.last = tmp_path / str(len(list(tmp_path.iterdir())))
        new.last.mkdir()
        return str(new.last)

    return new


def read_csv(logger, name):
    path = f"{logger.log_dir}/{logger.exp_name}/scalars/{name}.csv"
    with open(path) as file:
        pairs = [line.split(",") for line in file]
    return [(int(step), float(value)) for step, value in pairs]


def test_csv(folders):
    check_logger(lambda: CSVLogger("run", folders()), read_csv)


def test_in_a_process(folders):
    def make():
        return ProcessLogger(CSVLogger, "run", folders(), mp_context="fork")

    check_logger(make, read_csv)


def test_in_a_thread(folders):
    def make():
        return get_logger("csv", folders(), "run", service_backend="thread")

    check_logger(make, read_csv)


def test_tensorboard(folders):
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
    )
    pytest.importorskip("PIL")

    def read(logger, name):
        found = events.EventAccumulator(str(logger.folder)).Reload().Scalars(name)
        return [(event.step, event.value) for event in found]

    check_logger(lambda: TensorboardLogger("run", folders()), read)


def test_wandb(folders, read_wandb, monkeypatch):
    pytest.importorskip("wandb")
    pytest.importorskip("av")
    monkeypatch.setenv("WANDB_SILENT", "true")

    def make():
        return WandbLogger("run", offline=True, save_dir=folders(), log_env_packages=False)

    def read(logger, name):
        history, *_ = read_wandb(type(folders.last)(logger.log_dir))
        return [(line["trainer/step"], line[name]) for line in history if name in line]

    check_logger(make, read)


def test_mlflow(folders):
    pytest.importorskip("mlflow")
    pytest.importorskip("av")
    folder = folders()

    def read(logger, name):
        found = logger.experiment.get_metric_history(logger.run_id, name)
        return [(metric.step, metric.value) for metric in found]

    check_logger(lambda: MLFlowLogger.in_folder("run", folder), read)


def test_trackio(trackio_store):
    names = iter("ab")

    def read(logger, name):
        with sqlite3.connect(os.path.join(trackio_store, f"{logger.project}.db")) as base:
            query = "select step, metrics from metrics where run_name = ? order by id"
            rows = base.execute(query, [logger.exp_name]).fetchall()
        found = [(step, json.loads(record)) for step, record in rows]
        return [(step, record[name]) for step, record in found if name in record]

    check_logger(lambda: TrackioLogger(next(names), "conformance"), read)


class LosesSteps(CSVLogger):
    def _step(self, name, step):
        return 0 if step is None else step


class TakesAnything(CSVLogger):
    def log_video(self, name, video, step=None, **kwargs):
        pass


class NeverEnds(CSVLogger):
    is_alive = True


class ForgetsState(CSVLogger):
    def load_state_dict(self, state_dict):
        pass


class NeverLives(CSVLogger):
    is_alive = False


class StartsAnother(CSVLogger):
    def start(self):
        self.close()
        return self


class NestsMetrics(CSVLogger):
    def log_metrics(self, metrics, step=None, *, keys_sep="/"):
        super().log_metrics(metrics, step, keys_sep=keys_sep)
        return {"kit": 1.0}


class TakesWords(CSVLogger):
    def log_metrics(self, metrics, step=None, *, keys_sep="/"):
        if "kit/x" not in metrics:
            return super().log_metrics(metrics, step, keys_sep=keys_sep)
        return {}


class Rounds(CSVLogger):
    def _write_scalar(self, name, value, step):
        super()._write_scalar(name, round(value), step)


class Averages(CSVLogger):
    def log_scalar(self, name, value, step=None):
        super().log_scalar(name, torch.as_tensor(value).float().mean(), step)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NeverLives, "a new logger is not alive"),
        (StartsAnother, "`start` returns what is not alive"),
        (NestsMetrics, "expected the numbers by joined name"),
        (TakesWords, "a metric that is a word is taken"),
        (Rounds, r"`kit/loss` is .*expected"),
        (Averages, "a scalar of two elements is taken"),
        (LosesSteps, r"`kit/loss` is \[\(10, 0\.5\), \(0, 0\.25\)"),
        (TakesAnything, "a video of floats is taken"),
        (NeverEnds, "alive after `close`"),
        (ForgetsState, "does not go on counting"),
    ],
)
def test_the_kit_notices(folders, kind, message):
    with pytest.raises(AssertionError, match=message):
        check_logger(lambda: kind("run", folders()), read_csv)
