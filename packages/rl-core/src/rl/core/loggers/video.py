"""Videos as files: `.mp4` through PyAV, `.npy` through numpy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from rl.core.loggers.values import as_video
from rl.core.optional import optional

av = optional("av", extra="rl-core[video]")

__all__ = ["write_video"]


def write_video(path: str | os.PathLike[str], video: torch.Tensor, *, fps: int = 30) -> None:
    """Write a video; the path's ending chooses the format.

    Args:
        path: ends in `.mp4` or `.npy`; its folder is made when absent.
        video: uint8, `[T, C, H, W]` or `[1, T, C, H, W]`, C 1 or 3. `.npy` holds it as
            `[T, H, W, 3]`.
        fps: frames per second of the `.mp4`.

    Raises:
        ValueError: another ending, or `video` is not a video.
        MissingDependencyError: `.mp4` without PyAV.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rollout.npy"
        >>> write_video(path, torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
        >>> np.load(path).shape
        (4, 8, 8, 3)
    """
    path = Path(path)
    frames = as_video(path.name, video)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, frames, allow_pickle=False)
    elif path.suffix == ".mp4":
        _write_mp4(path, frames, fps)
    else:
        raise ValueError(f"`{path}` ends in `{path.suffix}`, expected `.mp4` or `.npy`.")


def _write_mp4(path: Path, frames: np.ndarray, fps: int) -> None:
    # the 4:2:0 pixel format needs even sides: repeat the last row or column
    pad = [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]
    frames = np.pad(frames, pad, mode="edge")
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
