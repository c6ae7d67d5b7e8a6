"""Operations on batches of any kind: TensorDicts, tensors, and nests of them."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import is_tensor_collection
from torch import Tensor

__all__ = ["batch_dims", "check_pinning", "pin", "stack_index", "transpose"]


def stack_index(index: Any) -> Tensor:  # noqa: ANN401
    """Return an index as one tensor: `[n]`, or `[n, ndim]` for one with several coordinates."""
    return torch.stack(index, -1) if isinstance(index, tuple) else index


def batch_dims(data: Any) -> int:  # noqa: ANN401
    """Return the number of batch dimensions of a tensor or TensorDict, 0 for other data."""
    return data.ndim if is_tensor_collection(data) or isinstance(data, Tensor) else 0


def transpose(data: Any, dim: int) -> Any:  # noqa: ANN401
    """Swap dimension 0 and `dim` of every tensor."""
    if isinstance(data, Tensor) or is_tensor_collection(data):
        return data.transpose(0, dim)
    if isinstance(data, dict):
        return {key: transpose(value, dim) for key, value in data.items()}
    return type(data)(transpose(value, dim) for value in data)


def pin(data: Any) -> Any:  # noqa: ANN401
    """Put every tensor in pinned memory."""
    if isinstance(data, Tensor) or is_tensor_collection(data):
        return data.pin_memory()
    if isinstance(data, dict):
        return {key: pin(value) for key, value in data.items()}
    if type(data) in (tuple, list):
        return type(data)(pin(value) for value in data)
    return data


def check_pinning() -> None:
    """Raise unless memory can be pinned.

    Raises:
        RuntimeError: torch sees no accelerator.
    """
    if not torch.accelerator.is_available():
        raise RuntimeError(
            "`pin_memory=True` needs an accelerator, and torch sees none. Pass "
            "`pin_memory=torch.accelerator.is_available()`."
        )
