"""The values that loggers take: numbers, nested settings, distributions of values, videos."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase

__all__ = ["as_video", "flatten", "histogram", "number", "numbers_of", "plain"]


def flatten(tree: object, sep: str = "/", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a nested mapping, TensorDict or dataclass with their joined names.

    Example:
        >>> list(flatten({"optim": {"lr": 0.1}, "seed": 0}))
        [('optim/lr', 0.1), ('seed', 0)]
    """
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        tree = {item.name: getattr(tree, item.name) for item in dataclasses.fields(tree)}
    if not isinstance(tree, Mapping | TensorDictBase):
        yield prefix, tree
        return
    for key, value in tree.items():
        yield from flatten(value, sep, f"{prefix}{sep}{key}" if prefix else str(key))


def plain(tree: object) -> Any:  # noqa: ANN401
    """Return settings as JSON holds them: dicts, lists, numbers, strings, `None`.

    Other leaves become their text.

    Example:
        >>> plain({"net": {"hidden": (64, 64)}, "dtype": torch.float32})
        {'net': {'hidden': [64, 64]}, 'dtype': 'torch.float32'}
    """
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        tree = {item.name: getattr(tree, item.name) for item in dataclasses.fields(tree)}
    if isinstance(tree, Mapping | TensorDictBase):
        return {str(key): plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    if isinstance(tree, torch.Tensor | np.ndarray | np.generic):
        return tree.tolist()
    return tree if tree is None or isinstance(tree, bool | int | float | str) else str(tree)


def histogram(
    data: torch.Tensor | Sequence[float], bins: int = 30
) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts `[bins]` of equal bins, and their edges `[bins + 1]`.

    Args:
        data: the values, any shape.
        bins: the number of bins between the least and the greatest value.

    Example:
        >>> counts, edges = histogram([0.0, 0.1, 1.0], bins=2)
        >>> counts.tolist(), edges.tolist()
        ([2, 1], [0.0, 0.5, 1.0])
    """
    values = torch.as_tensor(data).detach().float().cpu().numpy().ravel()
    return np.histogram(values, bins=bins)


def as_video(name: str, video: torch.Tensor) -> np.ndarray:
    """Return a video as a uint8 array `[T, H, W, 3]`.

    Raises:
        ValueError: shape or dtype are not those of a video.

    Example:
        >>> as_video("rollout", torch.zeros(1, 4, 1, 8, 6, dtype=torch.uint8)).shape
        (4, 8, 6, 3)
    """
    frames = torch.as_tensor(video)
    if frames.ndim == 5 and frames.shape[0] == 1:
        frames = frames[0]
    if frames.ndim != 4 or frames.shape[1] not in (1, 3):
        raise ValueError(
            f"Video `{name}` has shape {list(frames.shape)}, expected [T, C, H, W] with C 1 or 3. "
            "Log several videos one by one; `permute` puts channels before height and width."
        )
    if frames.dtype is not torch.uint8:
        raise ValueError(
            f"Video `{name}` is {frames.dtype}, expected torch.uint8. "
            "Scale to 0..255 and call `.to(torch.uint8)`."
        )
    frames = frames.expand(-1, 3, -1, -1)
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).cpu().numpy())


def numbers_of(metrics: Mapping[str, Any] | TensorDictBase, sep: str = "/") -> dict[str, float]:
    """Return the numbers of a nested dict or TensorDict by their joined names.

    Those of an accelerator come in one transfer per device, so that it is waited for once.

    Raises:
        ValueError: a leaf is not one number.

    Example:
        >>> numbers_of({"train": {"loss": torch.tensor([0.5]), "epoch": 3}})
        {'train/loss': 0.5, 'train/epoch': 3.0}
    """
    leaves = dict(flatten(metrics, sep))
    for device in {value.device for value in leaves.values() if _is_remote(value)}:
        there = {
            name: value
            for name, value in leaves.items()
            if _is_remote(value) and value.device == device
        }
        # float64 holds what float32 and int32 hold; not every device has it
        wide = torch.float32 if device.type == "mps" else torch.float64
        scalars = [value.detach().reshape(()).to(wide) for value in there.values()]
        leaves |= dict(zip(there, torch.stack(scalars).tolist(), strict=True))
    return {name: number(name, value) for name, value in leaves.items()}


def _is_remote(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type != "cpu" and value.numel() == 1


def number(name: str, value: object) -> float:
    """Return a value as a float.

    Raises:
        ValueError: it is not one number.

    Example:
        >>> number("loss", torch.tensor([0.5]))
        0.5
    """
    try:
        return float(value.item() if hasattr(value, "item") else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        shape = f" of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else ""
        raise ValueError(
            f"Metric `{name}` is a {type(value).__qualname__}{shape}, expected one number. "
            "Reduce it first, such as with `.mean()`, or use `log_histogram`."
        ) from error
