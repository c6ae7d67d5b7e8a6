import threading

import pytest

from rl.core.errors import WorkerError
from rl.core.services import ServiceCalls, ThreadService


class Named:
    def take(self, name, timeout=None):
        return [name, timeout]

    def nap(self):
        threading.Event().wait(0.5)


@pytest.fixture(params=["direct", "socket"])
def service(request):
    calls = ServiceCalls({"take", "nap"})
    with ThreadService(Named, calls, transport=request.param, name="n") as service:
        yield service


def test_arguments_may_have_any_name(service):
    assert service.client().call("take", name="a", timeout=3) == ["a", 3]


def test_a_client_may_be_more_patient_than_another(service):
    client = service.client()
    assert client.with_timeout(None) is client
    with pytest.raises(WorkerError, match=r"did not answer `nap` in 0\.1 s"):
        client.with_timeout(0.1).call("nap")
    client.call("nap")
    assert repr(client) == "ServiceClient('n')"


def test_a_closed_client_connects_again(service):
    client = service.client()
    client.call("take", "a")
    client.close()
    assert client.call("take", "b") == ["b", None]
