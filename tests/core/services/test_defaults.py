import threading

import pytest

from rl.core.errors import NotRegisteredError, RLError
from rl.core.services import (
    ServiceCalls,
    ThreadService,
    default_service_backend,
    default_transport,
    service_backend,
    transport_backend,
)


def test_the_innermost_holds():
    with service_backend("thread"), transport_backend("socket"):
        with service_backend("direct"), transport_backend("auto"):
            assert (default_service_backend("x"), default_transport()) == ("direct", "auto")
        assert (default_service_backend("x"), default_transport()) == ("thread", "socket")
    assert (default_service_backend("x"), default_transport()) == ("x", "auto")


def test_it_ends_with_an_error():
    with pytest.raises(ZeroDivisionError), service_backend("process"):
        raise ZeroDivisionError
    assert default_service_backend("x") == "x"


def test_other_threads_start_without():
    seen = []
    with service_backend("thread"):
        thread = threading.Thread(target=lambda: seen.append(default_service_backend("x")))
        thread.start()
        thread.join()
    assert seen == ["x"]


def test_a_decorator_of_a_function_that_runs_in_several_threads():
    meet = threading.Barrier(2, timeout=10)
    seen = []

    @service_backend("thread")
    def work():
        meet.wait()
        seen.append(default_service_backend("x"))
        meet.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["thread", "thread"]


def test_mistakes_raise_at_once():
    with pytest.raises(NotRegisteredError, match="Did you mean `process`"):
        service_backend("proces")
    with pytest.raises(TypeError, match="expected a name"):
        service_backend(None)


def test_services_take_the_transport():
    with transport_backend("socket"):
        assert ThreadService(list, ServiceCalls({"copy"})).transport == "socket"
        assert ThreadService(list, ServiceCalls({"copy"}), transport="auto").transport == "direct"
    with (
        transport_backend("sockets"),
        pytest.raises(RLError, match=r"no transport `sockets`\. Did you mean `socket`"),
    ):
        ThreadService(list, ServiceCalls({"copy"}))
