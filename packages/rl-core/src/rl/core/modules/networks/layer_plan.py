"""Per-layer arguments: one value for all layers, or a list with a value for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from rl.core.errors import ShapeError

__all__ = ["cells_per_layer", "kwargs_for", "per_layer"]


def cells_per_layer(
    name: str, num_cells: int | Sequence[int] | None, depth: int | None, default: Sequence[int]
) -> list[int]:
    """Return the width of each hidden layer.

    Args:
        name: the network's class, for the message.
        num_cells: widths, or the common width of `depth` layers.
        depth: number of hidden layers, or None to take it from `num_cells`.
        default: widths when neither is given; its first entry is the default common width.

    Raises:
        ShapeError: `depth` and the length of `num_cells` differ, or an int has no depth.
    """
    if num_cells is None:
        return list(default) if depth is None else [default[0]] * depth
    if isinstance(num_cells, int):
        if depth is None:
            raise ShapeError(
                f"`{name}` was given num_cells={num_cells} for an unknown number of layers: pass "
                f"`depth=`, or a list such as `num_cells=[{num_cells}, {num_cells}]`."
            )
        return [num_cells] * depth
    if depth is not None and depth != len(num_cells):
        raise ShapeError(
            f"`{name}` was given {len(num_cells)} widths {list(num_cells)} and depth={depth}: drop "
            "`depth`, or give one width per layer."
        )
    return list(num_cells)


def per_layer(name: str, argument: str, value: Any, depth: int) -> list:  # noqa: ANN401
    """Return `value` for each of `depth` layers; a list must have that length.

    Raises:
        ShapeError: the list has another length.
    """
    if not isinstance(value, list | tuple):
        return [value] * depth
    if len(value) != depth:
        raise ShapeError(
            f"`{name}` has {depth} layers and `{argument}` {len(value)} entries {list(value)}: "
            "give one entry per layer, or a single value for all."
        )
    return list(value)


def kwargs_for(kwargs: dict | Sequence[dict] | None, layer: int) -> dict:
    """Return the keyword arguments of one layer."""
    if kwargs is None:
        return {}
    return kwargs if isinstance(kwargs, dict) else kwargs[layer]


def build(factory: type[nn.Module] | Callable[..., nn.Module], kwargs: dict) -> nn.Module:
    """Return `factory(**kwargs)`, or `factory` itself when it is a module."""
    return factory if isinstance(factory, nn.Module) else factory(**kwargs)
