"""What something was made with: the versions of python, of our wheels and of their libraries."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

__all__ = ["WHEELS", "versions"]

WHEELS = ("rl-core", "rl-envs", "rl-data", "rl-objectives", "rl-llm", "rl-distributed")
_LIBRARIES = ("torch", "tensordict", "numpy", "safetensors", "gymnasium", "ray", "transformers")


def versions() -> dict[str, str]:
    """Return the versions of python, of the installed wheels and of what they stand on.

    Example:
        >>> "python" in versions() and "torch" in versions()
        True
    """
    return dict(_versions())


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for name in (*WHEELS, *_LIBRARIES, "vllm"):
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)
