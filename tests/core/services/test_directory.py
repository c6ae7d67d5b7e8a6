import pickle
from collections import Counter

import pytest

from rl.core.errors import NotRegisteredError, RLError
from rl.core.services import (
    SERVICE_BACKENDS,
    LocalServices,
    ProcessService,
    ServiceCalls,
    ThreadService,
    get_services,
    service_backend,
)

CALLS = ServiceCalls({"total", "update"}, owner={"clear"})


class Declared(Counter):
    service_calls = CALLS


@pytest.fixture(params=[ThreadService, ProcessService])
def services(request):
    services = LocalServices(request.param, timeout=20.0)
    yield services
    services.reset()


def test_services_by_name(services):
    services.register("letters", Counter, "abba", calls=CALLS).call("update", "c")
    services["declared"] = Declared
    assert services.list() == ["declared", "letters"]
    assert "letters" in services
    assert services["letters"].call("total") == 5
    assert services.get_client("letters").timeout == 20.0
    with pytest.raises(RLError, match="is registered: take another name"):
        services.register("letters", Declared)
    with pytest.raises(NotRegisteredError, match="Did you mean `letters`"):
        services.get("leters")


def test_calls_are_declared():
    with pytest.raises(RLError, match=r"pass `calls=ServiceCalls"):
        LocalServices(ThreadService).register("letters", Counter)


def test_reset_ends_what_was_started_here(services):
    client = services.register("a", Declared)
    with ThreadService(Declared, CALLS) as mine:
        services["mine"] = mine
        assert services["mine"].call("total") == 0
        services.reset()
        assert services.list() == []
        assert mine.is_alive
    with pytest.raises(RLError, match="is gone"):
        client.call("total")


def test_the_directory_is_not_sent():
    with pytest.raises(RLError, match=r"services\.get_client\(name\)"):
        pickle.dumps(LocalServices(ThreadService))


def test_one_directory_per_backend_and_namespace():
    first = get_services("thread", namespace="one", timeout=7.0)
    assert get_services(namespace="one") is first
    assert get_services("thread", namespace="one", timeout=7.0) is first
    assert get_services("thread", namespace="two") is not first
    with service_backend("process"):
        assert get_services(namespace="one") is get_services("process", namespace="one")
    with pytest.raises(RLError, match="with other options"):
        get_services("thread", namespace="one", timeout=8.0)
    with pytest.raises(NotRegisteredError, match="Did you mean `thread`"):
        get_services("threads")


def test_a_backend_may_bring_its_own_directory():
    class Everywhere(ThreadService):
        @classmethod
        def directory(cls, **kwargs):
            return LocalServices(cls, **kwargs)

    with SERVICE_BACKENDS.registered("everywhere", Everywhere):
        services = get_services("everywhere", timeout=3.0)
    assert services.options == {"namespace": "rl", "timeout": 3.0}
