import pytest

from rl.core.loggers import CSVLogger
from rl.core.services import Service, ServiceCalls, ThreadService


def test_owners_may_do_what_clients_may():
    calls = ServiceCalls(client=["add"], owner=("empty",))
    assert calls.of_owner == {"add", "empty"}
    assert calls.client == {"add"}


@pytest.mark.parametrize("names", ["add", [1]])
def test_calls_are_names(names):
    with pytest.raises(TypeError, match="expected a set of names of methods"):
        ServiceCalls(client=names)


def test_what_a_service_is(tmp_path):
    assert isinstance(ThreadService(list, ServiceCalls({"append"})), Service)
    assert isinstance(CSVLogger("run", str(tmp_path)), Service)
    assert not isinstance([], Service)
