"""Shape checks at the border of the pure functions."""

from __future__ import annotations

from torch import Tensor

from rl.core.errors import ShapeError

__all__ = ["check_same_shape"]


def check_same_shape(expected: Tensor, **tensors: Tensor | None) -> None:
    """Raise unless each tensor has the shape of `expected`.

    Broadcasting `[B, T]` against `[B, T, 1]` would silently mix batch elements.

    Args:
        expected: the tensor that gives the shape, a state value `[*B, T, *F]`.
        **tensors: the others by name; `None` is skipped.

    Raises:
        ShapeError: names the first tensor that differs, with the fix.
    """
    shape = expected.shape
    for name, tensor in tensors.items():
        if tensor is None or tensor.shape == shape:
            continue
        message = f"`{name}` has shape {list(tensor.shape)}, expected {list(shape)}"
        if tensor.shape == shape[:-1] and shape[-1] == 1:
            message += f": it lacks the trailing dimension, pass `{name}.unsqueeze(-1)`."
        else:
            message += (
                ": values, rewards and done flags share one shape `[*B, T, *F]`. "
                f"Expand `{name}`, as with `{name}.expand_as(state_value)`."
            )
        raise ShapeError(message)
