import json

import pytest

from rl.core.errors import MissingDependencyError, NotRegisteredError
from rl.core.registry import Registry


def test_declared_entries_name_their_wheel():
    entries = Registry("rl.loggers").entries()
    assert entries["csv"].wheel == "rl-core"
    assert list(entries) == sorted(entries)


def test_load_imports_the_declared_object():
    assert Registry("rl.loggers").load("csv").__name__ == "CSVLogger"


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(NotRegisteredError, match="Did you mean `tensorboard`"):
        Registry("rl.loggers").load("tensorbord")


def test_unknown_name_of_an_empty_group_says_so():
    with pytest.raises(NotRegisteredError, match="Nothing is registered"):
        Registry("rl.no-such-group").load("x")


def test_registered_objects_hide_declared_ones_and_leave():
    registry = Registry("rl.loggers")
    declared = registry.load("csv")
    with registry.registered("csv", 3):
        assert registry.load("csv") == 3
        assert registry.entries()["csv"].wheel == "(registered)"
    assert registry.load("csv") is declared


def test_unregister_refuses_what_was_never_registered():
    with pytest.raises(NotRegisteredError, match="was not registered in this process"):
        Registry("rl.loggers").unregister("csv")


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A distribution on the path whose entry point imports a module that is absent."""

    def install(name, points, extras=()):
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        provides = "".join(f"Provides-Extra: {extra}\n" for extra in extras)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{provides}"
        )
        (info / "entry_points.txt").write_text(f"[rl.things]\n{points}\n")

    monkeypatch.syspath_prepend(tmp_path)
    return install


def test_missing_library_names_the_extra_called_like_the_entry(wheel):
    wheel("rl-fake", "ray = no_such_module_here", ("ray", "things"))
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-fake\[ray\]"'):
        Registry("rl.things").load("ray")


def test_missing_library_names_the_extra_called_like_the_group(wheel):
    wheel("rl-fake", "ppo = no_such_module_here", ("things",))
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-fake\[things\]"'):
        Registry("rl.things").load("ppo")


def test_missing_library_without_an_extra_names_the_wheel(wheel):
    wheel("rl-fake", "ppo = no_such_module_here")
    with pytest.raises(MissingDependencyError, match='pip install "rl-fake"'):
        Registry("rl.things").load("ppo")


def test_two_wheels_with_one_name_are_refused(wheel):
    wheel("rl-fake", "ppo = json")
    wheel("rl-other", "ppo = csv")
    with pytest.raises(NotRegisteredError, match="uninstall one of them"):
        Registry("rl.things").names()


def test_entry_points_of_another_class_are_loaded_too(monkeypatch):
    # a library that imports the backport `importlib_metadata` changes what is found
    class Backport:
        name, value, dist = "csv", "json:loads", None

        def load(self):
            return json.loads

    monkeypatch.setattr("rl.core.registry.metadata.entry_points", lambda group: [Backport()])
    assert Registry("rl.loggers").load("csv") is json.loads
