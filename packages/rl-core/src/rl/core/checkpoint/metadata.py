"""What a checkpoint's manifest says about it besides its components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rl.core.checkpoint.tree import TreeReader, TreeWriter
from rl.core.errors import CheckpointError

__all__ = ["decode_metadata", "encode_metadata"]


def encode_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as JSON; tensors and numpy scalars of one number become that number.

    Raises:
        CheckpointError: names the field that JSON does not hold.

    Example:
        >>> encode_metadata({"eval_return": torch.tensor(2.5), "shape": (1, 2)})
        {'eval_return': 2.5, 'shape': {'$tuple': [1, 2]}}
    """
    plain = {name: _number(value) for name, value in metadata.items()}
    writer = TreeWriter()
    tree = writer.encode(plain, ("metadata",))
    if writer.tensors:
        raise CheckpointError(
            f"Field `{next(iter(writer.tensors))}` is a tensor or an array, which JSON does not "
            "hold: turn it into numbers (`.item()`, `.tolist()`)."
        )
    return tree


def decode_metadata(tree: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what `encode_metadata` was given."""
    return TreeReader({}).decode(tree)


def _number(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, np.generic | np.ndarray | torch.Tensor) and np.prod(value.shape) == 1:
        return value.item()
    return value
