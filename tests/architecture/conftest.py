import ast
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEELS = ("core", "envs", "data", "objectives", "llm", "distributed")


@dataclass(frozen=True)
class Module:
    """A source file of a wheel."""

    wheel: str
    path: Path

    @property
    def name(self):
        parts = self.path.relative_to(ROOT / "packages" / f"rl-{self.wheel}" / "src").with_suffix(
            ""
        )
        return ".".join(parts.parts).removesuffix(".__init__")

    @property
    def text(self):
        return self.path.read_text()

    @property
    def tree(self):
        return _parse(self.path)

    def __str__(self):
        return self.name


@cache
def _parse(path):
    return ast.parse(path.read_text(), str(path))


MODULES = [
    Module(wheel, path)
    for wheel in WHEELS
    for path in sorted((ROOT / "packages" / f"rl-{wheel}" / "src").rglob("*.py"))
]

# each portion's root and the packages below it
PACKAGES = [module.name for module in MODULES if module.path.name == "__init__.py"]


def pytest_generate_tests(metafunc):
    if "module" in metafunc.fixturenames:
        metafunc.parametrize("module", MODULES, ids=str)
    if "package" in metafunc.fixturenames:
        metafunc.parametrize("package", PACKAGES)
    if "wheel" in metafunc.fixturenames:
        metafunc.parametrize("wheel", WHEELS)


@pytest.fixture
def root():
    """The repository's root."""
    return ROOT


@pytest.fixture
def project():
    """Reads a wheel's pyproject."""
    return lambda wheel: tomllib.loads(
        (ROOT / "packages" / f"rl-{wheel}" / "pyproject.toml").read_text()
    )


@pytest.fixture
def packages():
    """The names of all packages."""
    return PACKAGES
