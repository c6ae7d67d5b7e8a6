"""The files of LeRobot datasets of versions 2 and 3: Parquet for numbers, MP4 for cameras.

Version 3 puts many episodes into one file; `meta/episodes` says where in a video an episode begins.
Version 2 has one file per episode.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl.core.optional import optional
from rl.data.datasets.error import DatasetError

__all__ = ["LeRobotFolder", "VideoSpan", "decode_frames"]

parquet = optional("pyarrow.parquet", extra="rl-data[lerobot]")
av = optional("av", extra="rl-data[lerobot]")
image = optional("PIL.Image", extra="rl-data[lerobot]")


@dataclass(frozen=True)
class VideoSpan:
    """Where an episode is in a video.

    Attributes:
        path: the video, relative to the dataset.
        start_s: when the episode begins in it, in seconds.
    """

    path: str
    start_s: float


class LeRobotFolder:
    """A LeRobot dataset on the disk.

    Args:
        folder: holds `meta`, `data` and `videos`.

    Raises:
        DatasetError: `meta/info.json` is missing, damaged or of an unknown version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "meta" / "info.json"
        try:
            self.info: dict[str, Any] = json.loads(path.read_text())
            self.version = int(str(self.info["codebase_version"]).lstrip("v").split(".")[0])
            self.features: dict[str, Any] = self.info["features"]
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(
                f"`{path}` is no LeRobot metadata ({error!r}). Put the whole dataset in place, or "
                "pass `download='force'`."
            ) from error
        if self.version not in (2, 3):
            raise DatasetError(
                f"`{path}`: `codebase_version` is {self.info['codebase_version']}, this rl-data "
                "reads v2 and v3. Convert the dataset with LeRobot."
            )
        self.tasks = self._tasks()
        self._episodes = self._episode_table() if self.version == 3 else {}

    @property
    def cameras(self) -> list[str]:
        """The columns that are videos."""
        return [name for name, told in self.features.items() if told["dtype"] == "video"]

    def tables(self) -> Iterator[dict[str, Any]]:
        """Yield the columns of each data file, in order: arrays, or lists of strings."""
        files = sorted((self.folder / "data").rglob("*.parquet"))
        if not files:
            raise DatasetError(f"`{self.folder / 'data'}` holds no Parquet file.")
        for file in files:
            table = _read(file)
            yield {name: self._column(name, table[name]) for name in table.column_names}

    def video(self, camera: str, episode: int) -> VideoSpan:
        """Return where an episode is in the videos of a camera.

        Raises:
            DatasetError: the metadata do not tell.
        """
        pattern = self.info.get("video_path") or ""
        if self.version == 2:
            chunk = episode // int(self.info.get("chunks_size", 1000))
            told = {"episode_chunk": chunk, "episode_index": episode, "video_key": camera}
            return VideoSpan(pattern.format(**told), 0.0)
        try:
            row = self._episodes[episode]
            told = {k: int(row[f"videos/{camera}/{k}"]) for k in ("chunk_index", "file_index")}
            start = float(row[f"videos/{camera}/from_timestamp"])
        except KeyError as error:
            raise DatasetError(
                f"`{self.folder / 'meta' / 'episodes'}` does not tell where episode {episode} of "
                f"`{camera}` is: {error} is missing."
            ) from error
        return VideoSpan(pattern.format(video_key=camera, **told), start)

    def _column(self, name: str, column: Any) -> Any:  # noqa: ANN401
        kind = str(column.type)
        if kind in ("string", "large_string"):
            return column.to_pylist()
        shape = tuple(self.features.get(name, {}).get("shape", ()))
        if self.features.get(name, {}).get("dtype") == "image":
            return np.stack([_picture(item, self.folder) for item in column.to_pylist()])
        if kind.startswith(("list", "fixed_size_list", "large_list", "extension")):
            array = np.array(column.to_pylist())
            return array.astype(self.features[name]["dtype"]) if name in self.features else array
        array = column.to_numpy()
        return array.reshape(len(array), *shape) if shape not in ((), (1,)) else array

    def _tasks(self) -> dict[int, str]:
        table = self.folder / "meta" / "tasks.parquet"
        lines = self.folder / "meta" / "tasks.jsonl"
        if table.exists():
            found = _read(table)
            # the task is the index of the frame that was written
            names = [n for n in found.column_names if n != "task_index"]
            if len(names) != 1 or "task_index" not in found.column_names:
                raise DatasetError(f"`{table}` has columns {found.column_names}: is it LeRobot's?")
            texts, numbers = found[names[0]].to_pylist(), found["task_index"].to_pylist()
            return dict(zip(numbers, texts, strict=True))
        if lines.exists():
            rows = [json.loads(line) for line in lines.read_text().splitlines() if line.strip()]
            return {int(row["task_index"]): row["task"] for row in rows}
        return {}

    def _episode_table(self) -> dict[int, Mapping[str, Any]]:
        found: dict[int, Mapping[str, Any]] = {}
        for file in sorted((self.folder / "meta" / "episodes").rglob("*.parquet")):
            table = _read(file)
            wanted = [n for n in table.column_names if n == "episode_index" or "videos/" in n]
            for row in table.select(wanted).to_pylist():
                found[row["episode_index"]] = row
        return found


def decode_frames(path: Path, times_s: np.ndarray, tolerance_s: float) -> np.ndarray:
    """Return the frames of a video that are shown at given times.

    Args:
        path: the video.
        times_s: rising times, `[n]`.
        tolerance_s: how far a frame may be from its time.

    Returns:
        `[n, 3, height, width]` uint8.

    Raises:
        DatasetError: the video cannot be read, or has no frame near a time.
    """
    frames: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            container.seek(int(max(times_s[0], 0) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time < times_s[len(frames)] - tolerance_s:
                    continue
                picture = frame.to_ndarray(format="rgb24").transpose(2, 0, 1)
                # a frame may be wanted more than once
                while len(frames) < len(times_s):
                    if abs(frame.time - times_s[len(frames)]) > tolerance_s:
                        break
                    frames.append(picture)
                if len(frames) == len(times_s):
                    break
                if frame.time > times_s[len(frames)] + tolerance_s:
                    break
    except (OSError, av.error.FFmpegError, IndexError) as error:
        raise DatasetError(f"`{path}` cannot be decoded ({error}). Fetch it anew.") from error
    if len(frames) < len(times_s):
        raise DatasetError(
            f"`{path}` has no frame within {tolerance_s:.4f} s of {times_s[len(frames)]:.4f} s: "
            "the video and its Parquet file do not belong together, or it is truncated."
        )
    return np.stack(frames)


def _read(file: Path) -> Any:  # noqa: ANN401
    try:
        return parquet.read_table(file)
    except (OSError, ValueError) as error:
        raise DatasetError(f"`{file}` is damaged ({error}). Fetch it anew.") from error


def _picture(item: Mapping[str, Any], folder: Path) -> np.ndarray:
    data = item["bytes"] or (folder / item["path"]).read_bytes()
    with image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
