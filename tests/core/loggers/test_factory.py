import re

import pytest

from rl.core.errors import MissingDependencyError, NotRegisteredError, RLError
from rl.core.loggers import (
    LOGGERS,
    CSVLogger,
    ServedLogger,
    TensorboardLogger,
    generate_exp_name,
    get_logger,
)
from rl.core.services import service_backend


def test_loggers_by_name(tmp_path):
    logger = get_logger("csv", str(tmp_path), "run")
    assert type(logger) is CSVLogger
    assert logger.folder == tmp_path / "run"
    board = get_logger("tensorboard", str(tmp_path), "run")
    assert type(board) is TensorboardLogger
    board.close()


@pytest.mark.parametrize("name", [None, ""])
def test_no_type_is_no_logger(name, tmp_path):
    assert get_logger(name, str(tmp_path), "run") is None


def test_unknown_type_suggests_the_nearest(tmp_path):
    with pytest.raises(NotRegisteredError, match="Did you mean `csv`"):
        get_logger("cvs", str(tmp_path), "run")


def test_arguments_go_by_type(tmp_path):
    logger = get_logger(
        "csv",
        str(tmp_path),
        "run",
        csv_kwargs={"video_fps": 5},
        wandb_kwargs={"project": "ignored"},
    )
    assert logger.video_fps == 5
    with pytest.raises(TypeError, match="csv_kwargs="):
        get_logger("csv", str(tmp_path), "run", video_fps=5)


def test_state_is_taken_on(tmp_path):
    first = get_logger("csv", str(tmp_path), "run")
    first.log_scalar("a", 1.0)
    second = get_logger("csv", str(tmp_path), "run", state_dict=first.state_dict())
    second.log_scalar("a", 2.0)
    second.close()
    first.close()
    assert (tmp_path / "run/scalars/a.csv").read_text() == "0,1.0\n1,2.0\n"


def test_experiment_names_differ_and_tell_the_time():
    name = generate_exp_name("PPO", "x")
    assert re.fullmatch(r"PPO_x_[0-9a-f]{8}_\d\d_\d\d_\d\d-\d\d_\d\d_\d\d", name)
    assert name != generate_exp_name("PPO", "x")


def test_unknown_backends_are_refused(tmp_path):
    with pytest.raises(NotRegisteredError, match="Did you mean `process`"):
        get_logger("csv", str(tmp_path), "run", service_backend="proces")
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-distributed\[ray\]"'):
        get_logger("csv", str(tmp_path), "run", service_backend="ray")
    with pytest.raises(RLError, match="leave them out"):
        get_logger("csv", str(tmp_path), "run", service_backend_options={"timeout": 1.0})


def test_the_backend_is_that_of_the_context(tmp_path):
    with service_backend("thread"):
        logger = get_logger("csv", str(tmp_path), "run", service_backend_options={"timeout": 9.0})
        here = get_logger("csv", str(tmp_path), "here", service_backend="direct")
    assert (type(logger), logger.service_backend) == (ServedLogger, "thread")
    assert type(here) is CSVLogger
    logger.client().log_scalar("a", 1.0)
    with pytest.raises(RLError, match="call it on the `ServedLogger`"):
        logger.client().flush()
    logger.close()
    assert (tmp_path / "run/scalars/a.csv").read_text() == "0,1.0\n"
    assert not logger.is_alive


def test_a_resumed_run_is_asked_of_its_own_type(tmp_path):
    class Resumable(CSVLogger):
        @classmethod
        def resume_arguments(cls, state_dict):
            return {"video_fps": state_dict["fps"]}

    with LOGGERS.registered("own", Resumable):
        state = {"next_step": {}, "fps": 7}
        assert get_logger("own", str(tmp_path), "run", state_dict=state).video_fps == 7
        own = {"own_kwargs": {"video_fps": 8}}
        assert get_logger("own", str(tmp_path), "run", state_dict=state, **own).video_fps == 8
