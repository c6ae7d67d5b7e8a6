"""Runs the examples in docstrings; a wheel's own tests call it for each of its modules."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import io
from pathlib import Path

__all__ = ["module_names", "run_doctests"]

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_names(package: str) -> list[str]:
    """Return the names of a package's modules, sorted, without importing them.

    Example:
        >>> "rl.core.errors" in module_names("rl.core")
        True
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    names = set()
    for folder in map(Path, folders):
        for file in folder.rglob("*.py"):
            parts = file.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            names.add(".".join((package, *parts)))
    return sorted(names)


def run_doctests(module: str) -> str:
    """Run the examples of a module and return the report of those that failed, empty when none did.

    `...` stands for any text and white space is one space.

    Example:
        >>> run_doctests("rl.core.errors")
        ''
    """
    report = io.StringIO()
    runner = doctest.DocTestRunner(verbose=False, optionflags=_FLAGS)
    loaded = importlib.import_module(module)
    for test in doctest.DocTestFinder(exclude_empty=True).find(loaded, module):
        runner.run(test, out=report.write, clear_globs=True)
    return report.getvalue()
