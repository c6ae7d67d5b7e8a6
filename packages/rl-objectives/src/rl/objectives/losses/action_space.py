"""Discrete actions in a batch: which space they are of, and whether they look like it."""

from __future__ import annotations

from typing import Any

from tensordict import NestedKey
from torch import Tensor, nn

from rl.core.errors import ShapeError
from rl.core.modules import action_space_of, value_of

__all__ = ["check_action", "chosen_value", "loss_action_space", "variable_sizes"]


def loss_action_space(space: Any, network: nn.Module, action_key: NestedKey) -> str:  # noqa: ANN401
    """Return the name of an action space, given as a name or a spec, or read off the network.

    Args:
        space: `"one_hot"`, `"mult_one_hot"`, `"binary"`, `"categorical"`, `"multi_categorical"`,
            a spec, or `None`.
        network: asked for its `action_space`, then its `spec`, when `space` is `None`.
        action_key: the action in a spec of several entries.

    Raises:
        RLError: when the space is not known or not discrete.
    """
    if space is None:
        space = _of_network(network, "action_space")
    if isinstance(space, str):
        return action_space_of(space, None)
    spec = getattr(network, "spec", None) if space is None else space
    if hasattr(spec, "keys") and action_key in spec.keys(True):
        spec = spec[action_key]
    return action_space_of(None, spec)


def variable_sizes(space: Any, network: nn.Module) -> list[int] | None:  # noqa: ANN401
    """Return the number of choices of each variable of a composite action, where it is known."""
    sizes = getattr(space, "nvec", None)
    sizes = _of_network(network, "var_nums") if sizes is None else sizes
    return None if sizes is None else [int(n) for n in sizes]


def _of_network(network: nn.Module, name: str) -> Any:  # noqa: ANN401
    for module in reversed(list(network.modules())):
        found = getattr(module, name, None)
        if found is not None:
            return found
    return None


def check_action(action: Tensor, values: Tensor, space: str, key: NestedKey) -> None:
    """Raise unless the shape of an action fits the action space.

    Args:
        action: the actions of the batch.
        values: `[*B, n]`, one value per action.
        space: name of the action space.
        key: name of the action in the batch.

    Raises:
        ShapeError: for an integer column in a one-hot space and the reverse.
    """
    batch = values.shape[:-1]
    if space == "multi_categorical":
        return
    if space == "categorical":
        if action.shape in (batch, (*batch, 1)):
            return
        expected = f"indices of shape {list(batch)} or {[*batch, 1]}"
        fix = 'pass `action_space="one_hot"` if actions are one-hot, else store `argmax(-1)`.'
    else:
        if action.shape == values.shape:
            return
        expected = f"{list(values.shape)}, one entry per action value,"
        fix = (
            'pass `action_space="categorical"` if actions are indices '
            "(`GymEnv(..., categorical_action_encoding=True)`)."
        )
    raise ShapeError(
        f"`{key}` has shape {list(action.shape)} and dtype {action.dtype}, expected {expected} "
        f'for `action_space="{space}"`: {fix}'
    )


def chosen_value(
    values: Tensor, action: Tensor, space: str, sizes: list[int] | None = None
) -> Tensor:
    """Return the value `[*B]` of the action that was taken.

    Args:
        values: `[*B, n]`.
        action: `[*B, n]` in one-hot spaces (summed over the heads of several), else indices.
        space: name of the action space.
        sizes: choices of each variable, for several.

    Example:
        >>> import torch
        >>> chosen_value(torch.tensor([3.0, 5.0]), torch.tensor([0, 1]), "one_hot")
        tensor(5.)
        >>> chosen_value(torch.tensor([3.0, 5.0]), torch.tensor([0]), "categorical")
        tensor(3.)
    """
    if space == "categorical" and action.ndim == values.ndim:
        action = action.squeeze(-1)
    return value_of(values, action, space, sizes).squeeze(-1)
