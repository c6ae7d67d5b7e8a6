import json
import os
import sqlite3
import sys

import pytest
import torch

from rl.core.errors import MissingDependencyError, RLError
from rl.core.loggers import LOGGERS, TrackioLogger, get_logger

# of what it stands on
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_missing_trackio_says_the_pip_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    monkeypatch.setattr("rl.core.loggers.trackio.trackio._module", None)
    with (
        LOGGERS.registered("trackio", TrackioLogger),
        pytest.raises(MissingDependencyError, match=r'pip install "rl-core\[trackio\]"'),
    ):
        get_logger("trackio", str(tmp_path), "run")


@pytest.fixture(scope="module")
def store(trackio_store):
    """What a run leaves in Trackio's store: its records by step, and its configuration."""
    logger = TrackioLogger.in_folder("run", "some/where/pendulum")
    logger.log_hparams({"lr": 0.1, "net": {"hidden": (64, 64)}})
    logger.log_scalar("loss", 0.5, step=10)
    logger.log_scalar("loss", torch.tensor(0.25))
    assert logger.log_metrics({"a": {"b": 1}, "c": 2.0}, step=3) == {"a/b": 1.0, "c": 2.0}
    logger.log_histogram("w", torch.tensor([0.0, 0.1, 1.0]), step=4, bins=2)
    with pytest.raises(RLError, match="before any other"):
        logger.log_hparams({"late": 1})
    assert logger.state_dict()["next_step"]["loss"] == 12
    logger.close()
    assert not logger.is_alive
    with sqlite3.connect(os.path.join(trackio_store, "pendulum.db")) as base:
        rows = base.execute("select step, metrics from metrics order by id").fetchall()
        (config,) = base.execute("select config from configs").fetchone()
    return [(step, json.loads(record)) for step, record in rows], json.loads(config)


def test_records_have_their_step(store):
    records, _ = store
    assert records[:3] == [(10, {"loss": 0.5}), (11, {"loss": 0.25}), (3, {"a/b": 1.0, "c": 2.0})]


def test_histogram_holds_counts_and_edges(store):
    step, record = store[0][3]
    assert step == 4
    assert (record["w"]["values"], record["w"]["bins"]) == ([2, 1], [0.0, 0.5, 1.0])


def test_settings_are_the_configuration(store):
    assert store[1]["lr"] == 0.1
    assert store[1]["net"] == {"hidden": [64, 64]}
