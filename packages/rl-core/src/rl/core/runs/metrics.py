"""The metrics of a run: one JSON object per line, one line per log call."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import torch

from rl.core.checkpoint.files import write_atomic
from rl.core.errors import CheckpointError

__all__ = ["MetricsLog", "as_number", "read_metrics"]


def as_number(value: object) -> float | int | None:
    """Return `value` (a number, or a tensor or array of one element) as JSON holds it.

    Numbers that are not finite become `None`: JSON has none.

    Raises:
        ValueError: the value has several elements or is no number.

    Example:
        >>> as_number(torch.tensor([2.5])), as_number(3), as_number(float("nan"))
        (2.5, 3, None)
    """
    if type(value) is int:
        return value
    try:
        number = value.item() if hasattr(value, "item") else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        shape = f" of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else ""
        raise ValueError(
            f"A metric is one number, given {type(value).__name__}{shape}. "
            "Reduce it first, such as with `.mean()`."
        ) from error
    return number if math.isfinite(number) else None


class MetricsLog:
    """Appends records to a `.jsonl` file.

    Args:
        path: the file; made when absent, continued when present.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
        >>> log = MetricsLog(path)
        >>> log.append(10, {"loss": 0.5})
        >>> log.append(20, {"loss": 0.25})
        >>> log.truncate(10)
        >>> read_metrics(path)
        [{'frames': 10, 'loss': 0.5}]
        >>> log.close()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: TextIO | None = None

    def append(self, frames: int, metrics: Mapping[str, float | None]) -> None:
        """Append one record, `{"frames": frames, **metrics}`; see `as_number` for the values."""
        record = {"frames": int(frames), **metrics}
        file = self._open()
        file.write(json.dumps(record, allow_nan=False) + "\n")
        file.flush()

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def truncate(self, frames: int) -> None:
        """Drop the records after `frames`: a resumed run writes them again."""
        self.close()
        kept = [record for record in read_metrics(self.path) if record["frames"] <= frames]
        text = "".join(json.dumps(record) + "\n" for record in kept)
        write_atomic(self.path, text.encode())

    def close(self) -> None:
        """Close the file; the next `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> TextIO:
        if self._file is None:
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115
        return self._file


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the records of a metrics file; a last line that a kill cut short is left out.

    Raises:
        CheckpointError: another line is damaged; the message names it.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            record["frames"] += 0
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            raise CheckpointError(f"`{path}`: line {number} is damaged ({error}).") from error
        records.append(record)
    return records
