"""Episodes of Open X-Embodiment: tars of pickled episodes, as the hub's copy has them.

An entry `<name>.data.pickle` is a dict whose `"steps"` are dicts in the RLDS layout: `observation`,
`action`, `reward`, `discount`, `is_first`, `is_last`, `is_terminal`, `language_instruction`. The
step that `is_last` holds the last observation; nothing follows its action.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from rl.core.optional import optional
from rl.data.datasets.error import DatasetError
from rl.data.datasets.inert_pickle import read_inert
from rl.data.datasets.transitions import episode_rows

__all__ = ["episodes_of_tar", "rows_of_steps"]

image = optional("PIL.Image", extra="rl-data[openx]")

_TAKEN = {"observation", "action", "reward", "is_first", "is_last", "is_terminal"}


def episodes_of_tar(stream: BinaryIO, where: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the steps of each episode of a tar, which is read from front to back.

    Raises:
        DatasetError: the tar is damaged, or holds something else.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name.endswith(".pickle") else None
                if content is not None:
                    yield _steps(content.read(), f"`{member.name}` in `{where}`")
    except (tarfile.TarError, EOFError) as error:
        raise DatasetError(
            f"`{where}` is no tar or is damaged ({error}). Remove it to download it anew."
        ) from error


def _steps(data: bytes, where: str) -> list[dict[str, Any]]:
    episode = read_inert(data, where)
    steps = episode.get("steps") if isinstance(episode, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise DatasetError(f"{where} lacks a list of `steps`: is it an episode of Open X?")
    for key in ("observation", "action"):
        if any(key not in step for step in steps):
            raise DatasetError(f"{where}: a step lacks `{key}`.")
    return steps


def rows_of_steps(steps: list[dict[str, Any]], number: int) -> dict[str, Any] | None:
    """Return an episode as transitions, None if it has none.

    Pictures become `[n, 3, height, width]`; strings stay strings.
    """
    if len(steps) < 2:
        return None
    before = steps[:-1]
    terminated = np.array([bool(step.get("is_terminal", False)) for step in steps[1:]])
    init = np.zeros((len(before), 1), bool)
    init[0] = True
    extra = {key: [step.get(key) for step in before] for key in before[0] if key not in _TAKEN}
    states = {"observation": _gathered([step["observation"] for step in steps])}
    return episode_rows(
        states=states,
        action=_gathered([step["action"] for step in before]),
        reward=np.array([float(step.get("reward", 0.0)) for step in before], np.float32),
        terminated=terminated,
        truncated=np.zeros_like(terminated),
        episode=number,
        extra={"is_init": init, **{key: _gathered(value) for key, value in extra.items()}},
    )


def _gathered(values: list[Any]) -> Any:  # noqa: ANN401
    """Return what steps hold under one key as one array, list of strings, or nest of these."""
    first = values[0]
    if isinstance(first, Mapping) and "bytes" not in first:
        return {key: _gathered([value[key] for value in values]) for key in first}
    values = [_plain(value) for value in values]
    if isinstance(values[0], str):
        return values
    array = np.stack(values)
    # pictures come as height, width, channel
    if array.ndim == 4 and array.dtype == np.uint8 and array.shape[-1] in (1, 3):
        return array.transpose(0, 3, 1, 2)
    return array


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        value = value["bytes"]
    if not isinstance(value, bytes):
        return value if isinstance(value, str) else np.asarray(value)
    if value.startswith((b"\xff\xd8", b"\x89PNG")):
        with image.open(io.BytesIO(value)) as picture:
            return np.asarray(picture)
    return value.decode(errors="replace")
