import subprocess
import sys
import threading
import time

import pytest

from rl.core.errors import WorkerError
from rl.core.services import ServiceCalls, ThreadService

CALLS = ServiceCalls({"wait", "name"}, end="close")


class Gate:
    def __init__(self):
        self.open, self.is_closed = threading.Event(), False

    def wait(self):
        self.open.wait(30)

    def name(self):
        return threading.current_thread().name

    def close(self):
        self.is_closed = True


def test_it_has_a_thread_of_its_own():
    with ThreadService(Gate, CALLS, name="gate") as service:
        assert service.client().call("name") == "rl-gate"


@pytest.mark.parametrize("transport", ["direct", "socket"])
def test_a_stuck_thread_is_left_alone(transport):
    gate = Gate()
    service = ThreadService(lambda: gate, CALLS, timeout=0.3, transport=transport).start()
    client = service.client()
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"did not answer `wait` in 0\.3 s"):
        client.call("wait")
    with pytest.raises(WorkerError, match="did not answer `shutdown`"):
        service.shutdown()
    assert not service.is_alive
    with pytest.raises(WorkerError, match="is gone"):
        client.call("name")
    assert time.monotonic() - start < 5
    gate.open.set()  # it ends when it can
    service._thread.join(10)
    assert gate.is_closed


def test_an_object_that_takes_too_long_to_make_is_ended():
    gate, release = Gate(), threading.Event()

    def make():
        release.wait(30)
        return gate

    service = ThreadService(make, CALLS, startup_timeout=0.1)
    with pytest.raises(WorkerError, match="give more `startup_timeout`"):
        service.start()
    release.set()
    service._thread.join(10)
    assert gate.is_closed


SCRIPT = """
from rl.core.services import ServiceCalls, ThreadService

class Noted:
    def close(self):
        print("ended")

ThreadService(Noted, ServiceCalls({"x"}, end="close")).start()
print("exits")
"""


def test_the_object_is_ended_when_the_process_exits():
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["exits", "ended"]
