import os
import signal
from functools import partial

import pytest

from rl.core.services import ProcessService, ThreadService
from rl.core.testing import check_service

# forks are quick; the default, spawn, has a test of its own
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def killed(service):
    os.kill(service.pid, signal.SIGKILL)


def test_thread():
    check_service(ThreadService, workers=False)


def test_thread_with_sockets():
    check_service(partial(ThreadService, transport="socket"))


def test_process():
    check_service(partial(ProcessService, mp_context="fork"), kill=killed)


def test_spawned_process():
    check_service(ProcessService, workers=False, kill=killed)


class Wrong(ThreadService):
    """Breaks one promise."""


class NeverAlive(Wrong):
    is_alive = False


class AllowsAll(Wrong):
    def client(self):
        return self


class EndsNothing(Wrong):
    def __init__(self, make, calls, **kwargs):
        super().__init__(make, type(calls)(calls.client, calls.owner), **kwargs)


class HidesErrors(Wrong):
    def client(self):
        client = super().client()
        ask = client._channel.ask

        def quiet(call, args, kwargs, timeout_s):
            return None if call == "fail" else ask(call, args, kwargs, timeout_s)

        client._channel.ask = quiet
        return client


class Restarts(Wrong):
    def start(self):
        return self if self._is_over else super().start()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NeverAlive, "not alive after `start`"),
        (AllowsAll, "a client may call `reset`"),
        (EndsNothing, "ended 0 times"),
        (HidesErrors, "does not raise a WorkerError"),
        (Restarts, "it starts again"),
    ],
)
def test_the_kit_notices(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_service(kind, workers=False)
