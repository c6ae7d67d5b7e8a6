import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
import torch

from rl.core.errors import RLError, WorkerError
from rl.core.loggers import CSVLogger, LoggerClient, ProcessLogger, get_logger

# forks are quick; the default, spawn, has a test of its own
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Fragile(CSVLogger):
    """Raises, sleeps or notes that it was closed, as it is told."""

    def _write_scalar(self, name, value, step):
        if name == "raise":
            raise ZeroDivisionError("of the backend")
        if name == "sleep":
            time.sleep(value)
        super()._write_scalar(name, value, step)

    def close(self):
        super().close()
        (self.folder / "closed").touch()


class Broken(CSVLogger):
    def __init__(self, **kwargs):
        raise LookupError("no such store")


class Slow(CSVLogger):
    def __init__(self, **kwargs):
        time.sleep(60)


def make(tmp_path, cls=Fragile, **kwargs):
    return ProcessLogger(cls, exp_name="run", log_dir=str(tmp_path), mp_context="fork", **kwargs)


@pytest.fixture
def logger(tmp_path):
    logger = make(tmp_path)
    yield logger
    logger.shutdown()


def lines(tmp_path, path):
    return (tmp_path / "run" / path).read_text().splitlines()


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_everything_a_logger_does(logger, tmp_path):
    assert (logger.exp_name, logger.log_dir) == ("run", str(tmp_path))
    logger.log_scalar("a", torch.tensor(1.0))
    logger.log_scalar("a", 2.0)
    assert logger.log_metrics({"b": {"c": 3}}, step=7) == {"b/c": 3.0}
    logger.log_histogram("w", torch.tensor([0.0, 0.1, 1.0]), step=2, bins=2)
    logger.log_hparams({"lr": 0.1, "net": {"act": torch.nn.ReLU}})
    logger.log_video("v", torch.zeros(2, 1, 4, 4, dtype=torch.uint8), step=3)
    logger.flush()
    assert lines(tmp_path, "scalars/a.csv") == ["0,1.0", "1,2.0"]
    assert lines(tmp_path, "scalars/b/c.csv") == ["7,3.0"]
    assert lines(tmp_path, "histograms/w.csv") == ["2,0,0.5,2", "2,0.5,1,1"]
    assert lines(tmp_path, "texts/hparams0.txt")[0] == "lr: 0.1"
    assert (tmp_path / "run/videos/v_3.npy").exists()
    assert logger.state_dict()["next_step"]["a"] == 2
    logger.load_state_dict({"next_step": {"a": 10}})
    logger.log_scalar("a", 5.0)
    assert lines(tmp_path, "scalars/a.csv")[-1] == "10,5.0"


def test_clients_of_processes_share_the_steps(logger, tmp_path):
    client = logger.client()
    client.log_scalar("a", 0.0)
    pid = os.fork()  # the child has the parent's connection, and must open its own
    if pid == 0:
        client.log_scalar("a", 1.0)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    pickle.loads(pickle.dumps(client)).log_scalar("a", 2.0)
    client.log_scalar("a", 3.0)
    assert lines(tmp_path, "scalars/a.csv") == ["0,0.0", "1,1.0", "2,2.0", "3,3.0"]


@pytest.mark.parametrize("call", ["flush", "shutdown", "state_dict"])
def test_clients_only_log(logger, call):
    client = logger.client()
    assert type(client) is LoggerClient
    with pytest.raises(RLError, match="call it on the `ProcessLogger`"):
        getattr(client, call)()
    with pytest.raises(WorkerError, match="the owner of the service calls it"):
        client._remote.call("flush")
    client.close()
    logger.log_scalar("a", 1.0)


def test_the_owner_is_not_sent(logger):
    with pytest.raises(RLError, match=r"give workers `logger\.client\(\)`"):
        pickle.dumps(logger)


def test_an_error_comes_with_its_traceback_and_the_logger_goes_on(logger, tmp_path):
    with pytest.raises(
        WorkerError, match="`log_scalar`: ZeroDivisionError: of the backend"
    ) as raised:
        logger.client().log_scalar("raise", 1.0)
    assert "_write_scalar" in str(raised.value)
    logger.log_scalar("a", 1.0)
    assert lines(tmp_path, "scalars/a.csv") == ["0,1.0"]


def test_what_is_wrong_is_refused_before_it_is_sent(logger):
    with pytest.raises(ValueError, match="expected one number"):
        logger.log_scalar("a", torch.zeros(2))
    with pytest.raises(ValueError, match="`permute` puts channels"):
        logger.log_video("v", torch.zeros(2, 4, 4, 3, dtype=torch.uint8))


def test_a_logger_that_cannot_be_made(tmp_path):
    with pytest.raises(
        WorkerError, match="could not be made: LookupError: no such store"
    ) as raised:
        make(tmp_path, Broken)
    assert "in __init__" in str(raised.value)
    with pytest.raises(WorkerError, match="give more `startup_timeout`"):
        make(tmp_path, Slow, startup_timeout=0.3)
    with pytest.raises(ValueError, match="expected 1 or more"):
        make(tmp_path, max_queue_size=0)


def test_a_stuck_logger_is_an_error_in_bounded_time(tmp_path):
    logger = make(tmp_path, timeout=0.3)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"did not answer `log_scalar` in 0\.3 s"):
        logger.log_scalar("sleep", 60.0)
    with pytest.raises(WorkerError, match="did not answer `shutdown`"):
        logger.shutdown()
    assert time.monotonic() - start < 10
    assert not logger.is_alive
    logger.shutdown()


def test_a_killed_logger_is_an_error(tmp_path):
    logger = make(tmp_path)
    client = logger.client()
    client.log_scalar("a", 1.0)
    os.kill(logger._remote.pid, signal.SIGKILL)
    for each in (client, logger):
        with pytest.raises(WorkerError, match=r"`logger` is gone .*Make another one"):
            each.log_scalar("a", 1.0)
    wait_until(lambda: not logger.is_alive)
    with pytest.raises(WorkerError, match="is gone"):
        logger.shutdown()


def test_shutdown_closes_the_logger(tmp_path):
    logger = make(tmp_path)
    assert logger.is_alive
    logger.shutdown()
    assert (tmp_path / "run" / "closed").exists()
    assert not logger.is_alive
    with pytest.raises(WorkerError, match="is gone"):
        logger.client().log_scalar("a", 1.0)


SCRIPT = """
import os, signal, sys
from rl.core.loggers import CSVLogger, ProcessLogger

class Noted(CSVLogger):
    def close(self):
        super().close()
        (self.folder / "closed").touch()

logger = ProcessLogger(Noted, "run", sys.argv[1], mp_context="fork")
logger.log_scalar("a", 1.0)
print(logger._remote.pid, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["killed", "exits"])
def test_the_process_ends_with_its_parent(tmp_path, end):
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path), end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == (-signal.SIGKILL if end == "killed" else 0), done.stderr
    pid = int(done.stdout)
    wait_until(lambda: not is_running(pid))
    assert (tmp_path / "run" / "closed").exists()


def test_spawned_by_the_factory(tmp_path):
    options = {"max_queue_size": 4}
    logger = get_logger(
        "csv",
        str(tmp_path),
        "run",
        service_backend="process",
        service_backend_options=options,
        csv_kwargs={"video_fps": 5},
    )
    assert type(logger) is ProcessLogger
    logger.client().log_scalar("a", 1.0)
    logger.close()
    assert lines(tmp_path, "scalars/a.csv") == ["0,1.0"]
