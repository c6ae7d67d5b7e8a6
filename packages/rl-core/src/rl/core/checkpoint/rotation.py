"""A folder of checkpoints that keeps the newest and the best."""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from rl.core.checkpoint.checkpoint import Checkpoint
from rl.core.checkpoint.container import abandoned
from rl.core.checkpoint.load_result import CheckpointLoadResult, CheckpointStrictness
from rl.core.checkpoint.manifest import MANIFEST
from rl.core.checkpoint.metadata import encode_metadata
from rl.core.checkpoint.options import CheckpointOptions
from rl.core.errors import CheckpointError

__all__ = ["CheckpointBest", "CheckpointMetricMode", "CheckpointRotation"]

CheckpointMetricMode = Literal["min", "max"]
CheckpointBest = tuple[str, CheckpointMetricMode]

_SUFFIX = ".zip"


class CheckpointRotation:
    """A folder of checkpoints that keeps the newest ones, and the best.

    The metric is read from the manifests, so that a program that starts again knows which is best.
    One process at a time may save to it.

    Args:
        directory: holds one `<prefix>-<step>` folder, or `<prefix>-<step>.zip`, per checkpoint.
        keep_last: how many of the newest are kept, at least 1.
        keep_best: the name of a metric in the metadata, and `"min"` or `"max"`: the checkpoint in
            which it is best is kept too, the newest of equals.
        prefix: begins the names.

    Raises:
        CheckpointError: `keep_last` is below 1, or `keep_best` is no name and mode.

    Example:
        >>> import tempfile
        >>> rotation = CheckpointRotation(tempfile.mkdtemp(), keep_last=1, keep_best=("r", "max"))
        >>> checkpoint = Checkpoint(layer=torch.nn.Linear(1, 1))
        >>> for step, r in ((10, 5.0), (20, 1.0), (30, 2.0)):
        ...     _ = rotation.save(checkpoint, step=step, metadata={"r": r})
        >>> [path.name for path in rotation.checkpoints()], rotation.best().name
        (['checkpoint-10', 'checkpoint-30'], 'checkpoint-10')
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep_last: int,
        keep_best: CheckpointBest | None = None,
        prefix: str = "checkpoint",
    ) -> None:
        if keep_last < 1:
            raise CheckpointError(f"`keep_last` is {keep_last}, expected at least 1.")
        if keep_best is not None:
            modes = get_args(CheckpointMetricMode)
            if isinstance(keep_best, str) or len(keep_best) != 2 or keep_best[1] not in modes:
                raise CheckpointError(
                    f"`keep_best` is {keep_best!r}, expected the name of a metric and 'min' or "
                    "'max', such as ('eval_return', 'max')."
                )
            keep_best = (keep_best[0], keep_best[1])
        self.directory = Path(directory)
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.prefix = prefix

    def save(
        self,
        checkpoint: Checkpoint,
        *,
        step: int,
        metadata: Mapping[str, Any] | None = None,
        components: Iterable[str] | None = None,
        component_options: Mapping[str, CheckpointOptions] | None = None,
    ) -> Path:
        """Save as the checkpoint of `step`, then remove what is not kept.

        Args:
            checkpoint: what to save.
            step: not negative; numbers and orders the checkpoints.
            metadata: kept in the manifest; holds the metric of `keep_best`.
            components: as in `Checkpoint.save`.
            component_options: as in `Checkpoint.save`.

        Returns:
            Its path.

        Raises:
            CheckpointError: the step is negative, or the metric is missing or not finite; nothing
                is saved.
        """
        if step < 0:
            raise CheckpointError(f"`step` is {step}, expected a count of steps.")
        if self.keep_best is not None:
            self._check_metric(metadata or {}, step)
        archive = checkpoint.format == "archive"
        path = self.directory / f"{self.prefix}-{step}{_SUFFIX if archive else ''}"
        checkpoint.save(
            path, components=components, component_options=component_options, metadata=metadata
        )
        self.prune()
        return path

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints' paths in the order of their steps.

        What a killed first save left is not one of them; a damaged checkpoint is.
        """
        return [path for path in self._entries() if path.is_file() or (path / MANIFEST).exists()]

    def latest(self) -> Path | None:
        """Return the path of the newest checkpoint, `None` when there is none."""
        return next(reversed(self.checkpoints()), None)

    def best(self) -> Path | None:
        """Return the path of the best checkpoint, `None` without `keep_best` or without metrics.

        Raises:
            CheckpointError: a manifest is damaged.
        """
        return None if self.keep_best is None else self._best(self.checkpoints())

    def prune(self) -> list[Path]:
        """Remove what is neither among the newest nor the best, and return its paths.

        What killed saves and removals left goes too.

        Raises:
            CheckpointError: `keep_best` is given, and a manifest is damaged.
        """
        kept = self.checkpoints()
        keep = {*kept[-self.keep_last :], self.best()}
        removed = [path for path in kept if path not in keep]
        for path in removed:
            self._remove(path)
        for path in self._entries():
            if abandoned(path):
                shutil.rmtree(path)
        for path in self.directory.glob(f".{self.prefix}-*.removed"):
            shutil.rmtree(path, ignore_errors=True)
        return removed

    def load_latest(
        self,
        checkpoint: Checkpoint,
        *,
        components: Iterable[str] | None = None,
        component_options: Mapping[str, CheckpointOptions] | None = None,
        map_location: str | torch.device | None = None,
        tensor_load_kwargs: Mapping[str, Any] | None = None,
        strict: CheckpointStrictness | None = None,
    ) -> CheckpointLoadResult:
        """Restore `checkpoint` from the newest one; see `Checkpoint.load`.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        path = self.latest()
        if path is None:
            raise CheckpointError(
                f"`{self.directory}` holds no `{self.prefix}-<step>` checkpoint yet."
            )
        return checkpoint.load(
            path,
            components=components,
            component_options=component_options,
            map_location=map_location,
            tensor_load_kwargs=tensor_load_kwargs,
            strict=strict,
        )

    def _entries(self) -> list[Path]:
        pattern = re.compile(rf"{re.escape(self.prefix)}-(\d+)({re.escape(_SUFFIX)})?")
        found = []
        if self.directory.is_dir():
            for path in self.directory.iterdir():
                match = pattern.fullmatch(path.name)
                if match and path.is_file() == bool(match[2]):
                    found.append((int(match[1]), path))
        return [path for _, path in sorted(found)]

    def _best(self, paths: list[Path]) -> Path | None:
        name, mode = self.keep_best  # type: ignore[misc]
        sign = 1 if mode == "max" else -1
        best, best_value = None, -math.inf
        for path in paths:
            value = Checkpoint.manifest(path)["metadata"].get(name)
            # those saved without the metric take no part
            if isinstance(value, int | float) and sign * value >= best_value:
                best, best_value = path, sign * value
        return best

    def _check_metric(self, metadata: Mapping[str, Any], step: int) -> None:
        name, _ = self.keep_best  # type: ignore[misc]
        value = encode_metadata(metadata).get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            given = metadata.get(name, "missing")
            raise CheckpointError(
                f"`keep_best` needs the metric `{name}`, which is {given!r} at step {step}: pass "
                f"`metadata={{'{name}': ...}}` with a finite number."
            )

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint so that a kill leaves all of it or nothing under its name."""
        if path.is_file():
            path.unlink()
            return
        doomed = path.with_name(f".{path.name}.{secrets.token_hex(4)}.removed")
        path.rename(doomed)
        shutil.rmtree(doomed)
