"""`rl doctor`: the versions of everything, what clashes, and the fix."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from rl.core.contract.version import VERSION
from rl.core.optional import optional
from rl.core.provenance import WHEELS

requirements = optional("packaging.requirements", extra="rl-core[cli]")

__all__ = ["Clash", "clashes", "doctor"]

_LIBRARIES = ("torch", "tensordict", "numpy", "gymnasium", "ray", "transformers", "vllm")


@dataclass(frozen=True)
class Clash:
    """One thing that does not fit, and what mends it.

    Example:
        >>> print(Clash("rl-envs", "needs rl-core<0.2", 'pip install "rl-core<0.2"'))
        rl-envs: needs rl-core<0.2. Fix: `pip install "rl-core<0.2"`.
    """

    wheel: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.wheel}: {self.what}. Fix: `{self.fix}`."


def doctor() -> int:
    """Print the table and return 0, or 1 when something clashes."""
    rows = [("python", platform.python_version()), ("contract", str(VERSION))]
    rows += [(name, installed_version(name) or "-") for name in (*WHEELS, *_LIBRARIES)]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {version}" for name, version in rows]
    found = [*clashes(), *unimportable()]
    lines += ["", *(map(str, found) if found else ["Nothing clashes."])]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found else 0


def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, `None` when it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def clashes(
    requires: Callable[[str], list[str] | None] | None = None,
    version: Callable[[str], str | None] = installed_version,
) -> Iterator[Clash]:
    """Yield the declared requirements of the six wheels that the installation breaks.

    An extra's requirement counts only when that library is installed.

    Args:
        requires: the requirement lines of a wheel, read from the installed metadata by default.
        version: the installed version of a distribution.
    """
    for wheel in WHEELS:
        if version(wheel) is None:
            continue
        for line in (requires or metadata.requires)(wheel) or []:
            need = requirements.Requirement(line)
            has_extra = need.marker is not None and "extra" in str(need.marker)
            if need.marker is not None and not has_extra and not need.marker.evaluate():
                continue
            found = version(need.name)
            wanted = f"{need.name}{need.specifier}"
            if found is None and not has_extra:
                yield Clash(wheel, f"needs {wanted}, which is absent", f'pip install "{wanted}"')
            elif found is not None and not need.specifier.contains(found, prereleases=True):
                yield Clash(wheel, f"needs {wanted}, found {found}", f'pip install "{wanted}"')


def unimportable() -> Iterator[Clash]:
    """Yield the installed wheels whose import fails, contract mismatches among them."""
    for wheel in WHEELS:
        if installed_version(wheel) is None:
            continue
        try:
            importlib.import_module(wheel.replace("-", "."))
        except ImportError as error:
            yield Clash(wheel, f"cannot be imported: {error}", f"pip install --upgrade {wheel}")
