import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from rl.core.errors import WorkerError
from rl.core.services import ProcessService, ServiceCalls

# forks are quick; the default, spawn, is in test_conformance.py
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
CALLS = ServiceCalls({"pid", "sleep"})


class Target:
    def __init__(self, delay_s=0.0):
        time.sleep(delay_s)

    def pid(self):
        return os.getpid()

    def sleep(self, seconds):
        time.sleep(seconds)


def made(make=Target, **kwargs):
    return ProcessService(make, CALLS, name="t", mp_context="fork", **kwargs)


def test_it_has_a_process_of_its_own():
    service = made()
    assert service.pid is None
    with service:
        assert service.client().call("pid") == service.pid != os.getpid()


def test_what_waits_is_told_when_it_is_killed():
    service = made().start()
    client = service.client()
    threading.Timer(0.3, os.kill, [service.pid, signal.SIGKILL]).start()
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"`t` is gone .*`sleep` was not answered"):
        client.call("sleep", 60.0)
    assert time.monotonic() - start < 5
    with pytest.raises(WorkerError, match="is gone"):
        service.shutdown()
    assert not service.is_alive


def test_a_stopped_process_is_an_error_and_is_ended():
    service = made(timeout=0.3).start()
    os.kill(service.pid, signal.SIGSTOP)
    with pytest.raises(WorkerError, match="did not answer `pid`"):
        service.call("pid")
    with pytest.raises(WorkerError, match="did not answer"):
        service.shutdown()
    assert not service.is_alive


def test_a_start_that_fails():
    with pytest.raises(WorkerError, match="give more `startup_timeout`"):
        made(partial(Target, 60.0), startup_timeout=0.3).start()
    with pytest.raises(WorkerError, match=r"ended with code 3.*if __name__"):
        made(partial(os._exit, 3)).start()


SCRIPT = """
import os, signal, sys
from pathlib import Path
from rl.core.services import ProcessService, ServiceCalls

class Noted:
    def close(self):
        Path(sys.argv[1], "ended").touch()

service = ProcessService(Noted, ServiceCalls({"x"}, end="close"), mp_context="fork").start()
print(service.pid, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["killed", "exits"])
def test_it_ends_with_its_parent(tmp_path, end):
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path), end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == (-signal.SIGKILL if end == "killed" else 0), done.stderr
    deadline = time.monotonic() + 10
    while not (tmp_path / "ended").exists():
        assert time.monotonic() < deadline, "the object was not ended"
        time.sleep(0.05)
