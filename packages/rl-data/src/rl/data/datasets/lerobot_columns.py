"""Names and shapes of LeRobot's columns in the layout of vision-language-action data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tensordict import NonTensorStack, TensorDict, is_tensor_collection
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.errors import ShapeError, SpecError

__all__ = ["key_of_column", "lerobot_columns_to_tensordict"]

_NAMES: dict[str, NestedKey] = {
    "episode_index": "episode",
    "frame_index": "frame",
    "language": "language_instruction",
    "observation.image": ("observation", "image"),
    "observation.state": ("observation", "state"),
    "task": "language_instruction",
}
_IMAGES = "observation.images."


def key_of_column(name: str, key_map: Mapping[str, NestedKey] | None = None) -> NestedKey:
    """Return the entry of a column: what the map says, LeRobot's known names, or the nested name.

    Example:
        >>> key_of_column("observation.images.top"), key_of_column("next.reward")
        (('observation', 'image', 'top'), ('next', 'reward'))
    """
    if key_map is not None and name in key_map:
        return key_map[name]
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith(_IMAGES):
        return ("observation", "image", name.removeprefix(_IMAGES))
    parts = tuple(name.split("."))
    return parts[0] if len(parts) == 1 else parts


def lerobot_columns_to_tensordict(
    columns: Mapping[str, Any], *, key_map: Mapping[str, NestedKey] | None = None
) -> TensorDict:
    """Return LeRobot columns as a TensorDict `[n]`.

    Args:
        columns: by LeRobot's name, tensors or arrays `[n, ...]`, lists of n strings, or tensor
            collections of batch size [n], which are kept as they are.
        key_map: entries for columns, in place of the usual ones.

    Writes:
        ("observation", "state"): [n, ...].
        ("observation", "image", camera): [n, 3, height, width].
        action: [n, ...].
        language_instruction: n strings, from `task`.
        episode, frame: [n] int64.
        ("next", name): [n, 1] if the column is `[n]`.
        other names: nested at their dots.

    Raises:
        SpecError: there is no column, or two have one entry.
        ShapeError: the columns differ in length.

    Example:
        >>> columns = {"observation.state": torch.zeros(2, 7), "task": ["pick", "place"]}
        >>> lerobot_columns_to_tensordict(columns).get("language_instruction").tolist()
        ['pick', 'place']
    """
    if not columns:
        raise SpecError("`columns` is empty: pass at least one column.")
    lengths = {name: len(value) for name, value in columns.items()}
    count = next(iter(lengths.values()))
    odd = [name for name, length in lengths.items() if length != count]
    if odd:
        raise ShapeError(
            f"Column `{odd[0]}` has {lengths[odd[0]]} rows, `{next(iter(lengths))}` has {count}. "
            "Give every column one row per frame."
        )
    result = TensorDict({}, [count])
    taken: dict[NestedKey, str] = {}
    for name, value in columns.items():
        key = key_of_column(name, key_map)
        if key in taken:
            raise SpecError(
                f"Columns `{taken[key]}` and `{name}` have one entry, `{key}`. Drop one, or pass "
                f"`key_map={{'{name}': ...}}`."
            )
        taken[key] = name
        result.set(key, _entry(key, value))
    return result


def _entry(key: NestedKey, value: Any) -> Any:  # noqa: ANN401
    if is_tensor_collection(value):
        return value
    if isinstance(value, list) and isinstance(value[0], str):
        return NonTensorStack.from_list(value)
    tensor = (
        value
        if isinstance(value, Tensor)
        else torch.from_numpy(np.require(value, requirements="W"))
    )
    if isinstance(key, tuple) and key[0] == "next" and tensor.ndim == 1:
        return tensor.unsqueeze(-1)
    return tensor
