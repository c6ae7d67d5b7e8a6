import pytest

from rl.core.errors import MissingDependencyError, NotRegisteredError
from rl.core.services import SERVICE_BACKENDS, ProcessService, ThreadService, load_service_backend


def test_backends_by_name():
    assert load_service_backend("thread") is ThreadService
    assert load_service_backend("process") is ProcessService


def test_unknown_backends_suggest_the_nearest():
    with pytest.raises(NotRegisteredError, match="Did you mean `thread`"):
        load_service_backend("threading")
    with pytest.raises(NotRegisteredError, match="Known names: `direct`, `process`, `thread`"):
        load_service_backend("zzz")


def test_no_service_is_no_backend():
    with pytest.raises(NotRegisteredError, match="make the object itself"):
        load_service_backend("direct")


def test_backends_of_other_wheels():
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-distributed\[ray\]"'):
        load_service_backend("ray")
    with SERVICE_BACKENDS.registered("ray", ThreadService):
        assert load_service_backend("ray") is ThreadService
    assert SERVICE_BACKENDS.group == "rl.service_backends"
