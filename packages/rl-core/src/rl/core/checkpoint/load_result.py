"""What a load of a checkpoint did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rl.core.errors import nearest

__all__ = [
    "CheckpointLoadResult",
    "CheckpointStrictness",
    "compare_versions",
    "issues",
    "missing",
    "refusal",
    "skew",
]

CheckpointStrictness = Literal["error", "warn", "ignore"]


@dataclass
class CheckpointLoadResult:
    """The report of `Checkpoint.load`.

    Attributes:
        loaded: components that were restored.
        missing: components that were asked for and are not in the checkpoint.
        incompatible: components that could not be restored, with the reason.
        unrequested: components of the checkpoint that were not asked for.
        values: what adapters returned, such as the values of JSON components.
        manifest: the manifest, as `Checkpoint.manifest` returns it.
        comparison: `"versions"`, by library `{"checkpoint", "runtime", "matches"}`, and
            `"version_skew"`, whether any differs.

    Example:
        >>> CheckpointLoadResult(loaded={"policy"}).loaded
        {'policy'}
    """

    loaded: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    incompatible: dict[str, str] = field(default_factory=dict)
    unrequested: set[str] = field(default_factory=set)
    values: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    comparison: dict[str, Any] = field(default_factory=dict)


def compare_versions(saved: Mapping[str, str], running: Mapping[str, str]) -> dict[str, Any]:
    """Return `CheckpointLoadResult.comparison`; what is on one side only does not count.

    Example:
        >>> compare_versions({"torch": "2.11", "ray": "2.5"}, {"torch": "2.12"})["version_skew"]
        True
    """
    rows = {
        name: {
            "checkpoint": version,
            "runtime": running.get(name),
            "matches": running.get(name) in (None, version),
        }
        for name, version in saved.items()
    }
    return {
        "versions": rows,
        "version_skew": not all(row["matches"] for row in rows.values()),
    }


def missing(names: Iterable[str], saved: Iterable[str]) -> str:
    """Return the sentences about components that are not in a checkpoint."""
    return " ".join(
        f"Component `{name}` is not in the checkpoint. {nearest(name, saved)}" for name in names
    )


def issues(result: CheckpointLoadResult) -> str:
    """Return the sentences about what was not restored."""
    parts = [missing(sorted(result.missing), result.manifest["components"])]
    parts += [f"Component `{name}`: {why}" for name, why in sorted(result.incompatible.items())]
    return " ".join(filter(None, parts))


def refusal(name: str, error: Exception) -> str:
    """Return the sentences about a component that raised when it was restored."""
    return (
        f"Component `{name}` refuses its saved state, nothing was loaded: {error} "
        "Build it as it was built when it was saved."
    )


def skew(path: Path, result: CheckpointLoadResult) -> str:
    """Return the sentences about libraries whose versions differ, empty without any."""
    rows = [
        f"{name} {row['checkpoint']} (here {row['runtime']})"
        for name, row in result.comparison["versions"].items()
        if not row["matches"]
    ]
    if not rows:
        return ""
    return (
        f"`{path}` was saved with {', '.join(rows)}: training may go on with other bits. Install "
        "these versions if it must not."
    )
