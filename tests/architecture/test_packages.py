"""What holds for every wheel: its folder, its declarations, what is in it when built."""

import importlib
import itertools
import re
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest
from packaging.requirements import Requirement

FILES = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "src"}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Builds a wheel once and opens it."""
    folder = tmp_path_factory.mktemp("dist")
    opened = {}

    def build(root, wheel):
        if wheel not in opened:
            command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
            package = root / "packages" / f"rl-{wheel}"
            done = subprocess.run(command, cwd=package, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            (path,) = folder.glob(f"rl_{wheel}-*.whl")
            opened[wheel] = zipfile.ZipFile(path)
        return opened[wheel]

    yield build
    for archive in opened.values():
        archive.close()


def test_the_root_holds_nothing_else(root):
    listed = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    tops = {name.split("/")[0] for name in listed if not name.startswith(".")}
    assert tops <= {"packages", "tests", "docs", "hatch.toml", "README.md", "LICENSE"}


def test_a_package_holds_what_every_package_holds(root, wheel):
    package = root / "packages" / f"rl-{wheel}"
    assert {path.name for path in package.iterdir() if not path.name.startswith(".")} >= FILES
    assert [path.name for path in (package / "src").iterdir()] == ["rl"]
    portions = [p.name for p in (package / "src" / "rl").iterdir() if p.name != "__pycache__"]
    assert portions == [wheel], "a wheel ships its portion and no `rl/__init__.py`"
    assert (package / "src" / "rl" / wheel / "py.typed").exists()
    assert (package / "LICENSE").read_text() == (root / "LICENSE").read_text()


def test_the_namespace_is_implicit():
    namespace = importlib.import_module("rl")
    assert getattr(namespace, "__file__", None) is None
    assert type(namespace.__path__).__name__ == "_NamespacePath"


def test_every_bound_says_why(root, wheel):
    lines = (root / "packages" / f"rl-{wheel}" / "pyproject.toml").read_text().splitlines()
    bare = [line for line in lines if re.search(r'"[^"]*>=[^"]*"', line) and "#" not in line]
    # a list on one line has its comment at the end of that line, so nothing is left bare
    assert bare == []


def test_siblings_are_required_by_a_compatible_range(project, wheel):
    content = project(wheel)["project"]
    extras = content["optional-dependencies"].values()
    for line in itertools.chain(content["dependencies"], *extras):
        need = Requirement(line)
        if need.name.startswith("rl-") and need.name != f"rl-{wheel}":
            assert str(need.specifier) == "<0.2,>=0.1", line
        else:
            assert "==" not in str(need.specifier), line


def test_entry_points_name_what_exists(project, wheel):
    groups = project(wheel)["project"].get("entry-points", {})
    for group, points in groups.items():
        assert group in {
            "rl.recipes",
            "rl.loggers",
            "rl.collectors",
            "rl.service_backends",
            "rl.transforms",
            "rl.weight_sync",
        }
        for target in points.values():
            module, _, attribute = target.partition(":")
            loaded = importlib.import_module(module)
            assert not attribute or hasattr(loaded, attribute)


def test_a_built_wheel_holds_its_portion_and_no_more(root, wheel, built):
    names = built(root, wheel).namelist()
    code = [name for name in names if ".dist-info/" not in name]
    assert {"/".join(name.split("/")[:2]) for name in code} == {f"rl/{wheel}"}
    assert f"rl/{wheel}/py.typed" in code
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    source = root / "packages" / f"rl-{wheel}" / "src"
    expected = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    assert expected <= set(code), "a module is left out of the wheel"


def test_a_built_wheel_tells_its_metadata(root, wheel, built):
    archive = built(root, wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Name"] == f"rl-{wheel}"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
