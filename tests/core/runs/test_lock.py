import os
import subprocess
import sys

import pytest

from rl.core.runs.lock import RunBusyError, RunLock

HOLDER = """
import os, sys, time
from pathlib import Path
from rl.core.runs.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
if os.fork() == 0:
    time.sleep(20)  # a worker that outlives its parent
print("held", flush=True)
time.sleep(20)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path`, and a child of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    os.killpg(process.pid, 9)
    process.communicate()


def test_another_process_is_named(holder, tmp_path):
    with pytest.raises(RunBusyError, match=f"by process {holder.pid}.*`kill {holder.pid}`"):
        RunLock(tmp_path).acquire()


def test_a_killed_process_holds_nothing_though_its_child_lives(holder, tmp_path):
    lock = RunLock(tmp_path)
    holder.kill()
    lock.acquire(wait_s=5.0)
    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_acquire_and_release_are_idempotent(tmp_path):
    lock = RunLock(tmp_path)
    for _ in range(2):
        lock.acquire()
    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    for _ in range(2):
        lock.release()
    other = RunLock(tmp_path)
    other.acquire()  # would wait, and raise, were it still held
    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
