import multiprocessing
import os
import signal
import threading
import time

import pytest

from rl.core.errors import WorkerError
from rl.data.sharing.process_lock import ProcessLock

FORK = multiprocessing.get_context("fork")


def hold(path, held, seconds):
    with ProcessLock.of(path, 1.0):
        held.set()
        time.sleep(seconds)


def test_it_is_one_per_file_and_re_entrant(tmp_path):
    lock = ProcessLock.of(tmp_path / "lock", 1.0)
    assert ProcessLock.of(tmp_path / "lock", 1.0) is lock
    with lock, lock:
        assert lock.depth == 2
    assert lock.depth == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_dead_keep_nothing_and_the_stopped_are_named(tmp_path, number):
    held = FORK.Event()
    lock = ProcessLock.of(tmp_path / "lock", 0.2)
    worker = FORK.Process(target=hold, args=(tmp_path / "lock", held, 60))
    worker.start()
    assert held.wait(60)
    os.kill(worker.pid, number)
    if number == signal.SIGKILL:
        worker.join(60)
        with lock:
            pass
    else:
        with pytest.raises(WorkerError, match=f"Process {worker.pid} has kept"):
            lock.acquire()
        worker.kill()
        worker.join(60)
        with lock:
            pass


def test_a_fork_does_not_have_the_lock_of_its_parent(tmp_path):
    lock = ProcessLock.of(tmp_path / "lock", 0.2)
    held = FORK.Event()
    with lock:
        worker = FORK.Process(target=hold, args=(tmp_path / "lock", held, 0))
        worker.start()
        worker.join(60)
        assert worker.exitcode == 1
    assert not held.is_set()


def test_threads_wait_for_each_other(tmp_path):
    lock = ProcessLock.of(tmp_path / "lock", 0.2)
    errors = []

    def wait():
        try:
            lock.acquire()
        except WorkerError as error:
            errors.append(str(error))

    with lock:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert "A thread of this process" in errors[0]
