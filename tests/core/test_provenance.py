import platform
from importlib import metadata

from rl.core.provenance import WHEELS, versions


def test_versions_are_those_of_the_installed_distributions():
    found = versions()
    assert found["python"] == platform.python_version()
    for name in set(found) - {"python"}:
        assert found[name] == metadata.version(name)
    assert "torch" in found
    assert len(WHEELS) == 6


def test_the_caller_may_change_what_it_got():
    versions().clear()
    assert versions()
