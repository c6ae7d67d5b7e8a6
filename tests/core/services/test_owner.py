import pickle

import pytest

from rl.core.errors import RLError, WorkerError
from rl.core.services import ServiceCalls, ThreadService

CALLS = ServiceCalls({"append", "copy"}, owner={"clear"})


def test_mistakes_raise_where_they_are_made():
    with pytest.raises(TypeError, match=r"`functools\.partial\(cls, \.\.\.\)`"):
        ThreadService([], CALLS)
    with pytest.raises(ValueError, match="expected 1 or more"):
        ThreadService(list, CALLS, max_queue_size=0)


def test_it_runs_between_start_and_shutdown():
    service = ThreadService(list, CALLS, name="list")
    for use in (service.client, lambda: service.call("clear")):
        with pytest.raises(RLError, match=r"call `start\(\)` first"):
            use()
    assert repr(service) == "ThreadService('list')"
    with service:
        service.call("append", 1)
        service.call("clear")
        assert service.client().call("copy") == []
    with pytest.raises(RLError, match="make another one"):
        service.start()


def test_one_that_never_ran_is_shut_down_too():
    service = ThreadService(list, CALLS)
    service.shutdown()
    assert not service.is_alive
    with pytest.raises(RLError, match="was shut down"):
        service.start()


def test_the_owner_is_not_sent():
    with pytest.raises(RLError, match=r"give workers `service\.client\(\)`"):
        pickle.dumps(ThreadService(list, CALLS))


def test_an_object_that_fails_to_end_is_an_error_and_gone():
    service = ThreadService(list, ServiceCalls({"copy"}, end="nothing"), name="list").start()
    with pytest.raises(WorkerError, match="`list` failed in `shutdown`: AttributeError"):
        service.shutdown()
    assert not service.is_alive
    service.shutdown()
