"""Greedy choices among action values, for every kind of discrete action space."""

from __future__ import annotations

import torch
from torch import Tensor

from rl.core.errors import RLError, nearest
from rl.core.specs.base import TensorSpec
from rl.core.specs.binary import Binary
from rl.core.specs.categorical import Categorical
from rl.core.specs.composite import Composite
from rl.core.specs.multi import MultiCategorical, MultiOneHot
from rl.core.specs.one_hot import OneHot

__all__ = ["ACTION_SPACES", "action_space_of", "greedy", "value_of"]

ACTION_SPACES = ("one_hot", "mult_one_hot", "binary", "categorical", "multi_categorical")
_SPACES = {
    OneHot: "one_hot",
    MultiOneHot: "mult_one_hot",
    MultiCategorical: "multi_categorical",
    Categorical: "categorical",
    Binary: "binary",
}
_ALIASES = {"mult-one-hot": "mult_one_hot", "multi_one_hot": "mult_one_hot"}


def action_space_of(action_space: str | None, spec: TensorSpec | None) -> str:
    """Return the name of the action space that a name or a spec stands for.

    Raises:
        RLError: neither is given, the name is unknown, or the spec is not discrete.

    Example:
        >>> action_space_of("one-hot", None), action_space_of(None, Categorical(3))
        ('one_hot', 'categorical')
    """
    if isinstance(action_space, TensorSpec):
        spec, action_space = action_space, None
    if action_space is not None:
        name = action_space.replace("-", "_").lower()
        name = _ALIASES.get(name, name)
        if name not in ACTION_SPACES:
            raise RLError(
                f"`action_space` is {action_space!r}, which is unknown. "
                f"{nearest(name, ACTION_SPACES)}"
            )
        return name
    if spec is None:
        raise RLError(
            "Neither `action_space` nor `spec` is given: pass the env's action spec, or one of "
            f"{', '.join(ACTION_SPACES)}."
        )
    return _space_of_spec(spec)


def _space_of_spec(spec: TensorSpec) -> str:
    if isinstance(spec, Composite):
        leaves = [leaf for leaf in spec.values(True, True) if leaf is not None]
        if len(leaves) != 1:
            raise RLError(
                f"The spec has {len(leaves)} leaves, expected one action: pass "
                "`action_space=`, or the action's own spec."
            )
        spec = leaves[0]
    for kind, name in _SPACES.items():
        if isinstance(spec, kind):
            return name
    raise RLError(
        f"`{type(spec).__name__}` is not a discrete action spec: Q-values choose among `OneHot`, "
        "`Categorical`, `MultiOneHot`, `MultiCategorical` or `Binary` actions."
    )


def greedy(values: Tensor, space: str, var_nums: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """Return the best action and its value `[*B, 1]`.

    Args:
        values: `[*B, N]` value of each action (of each choice, for several variables).
        space: one of `ACTION_SPACES`.
        var_nums: sizes of the variables, when there are several.

    Example:
        >>> greedy(torch.tensor([[0.0, 2.0, 1.0]]), "one_hot")
        (tensor([[0, 1, 0]]), tensor([[2.]]))
    """
    if space == "binary":
        action = (values > 0).long()
        return action, (values * action).sum(-1, keepdim=True)
    if space in ("mult_one_hot", "multi_categorical"):
        parts = [_best(part) for part in values.split(var_nums, -1)]
        value = torch.cat([best for best, _ in parts], -1).sum(-1, keepdim=True)
        indices = [index for _, index in parts]
        if space == "multi_categorical":
            return torch.cat(indices, -1), value
        rows = [_one_hot(i, n) for i, n in zip(indices, var_nums, strict=True)]
        return torch.cat(rows, -1), value
    best, index = _best(values)
    return (
        index.squeeze(-1) if space == "categorical" else _one_hot(index, values.shape[-1])
    ), best


def value_of(
    values: Tensor, action: Tensor, space: str, var_nums: list[int] | None = None
) -> Tensor:
    """Return the value `[*B, 1]` of `action` under `values` `[*B, N]`.

    Example:
        >>> value_of(torch.tensor([[0.0, 2.0]]), torch.tensor([0]), "categorical")
        tensor([[0.]])
    """
    if space == "categorical":
        return values.gather(-1, action.long().unsqueeze(-1))
    if space == "multi_categorical":
        parts = values.split(var_nums, -1)
        chosen = [p.gather(-1, a) for p, a in zip(parts, action.long().split(1, -1), strict=True)]
        return torch.cat(chosen, -1).sum(-1, keepdim=True)
    return torch.where(action == 0, 0.0, values).sum(-1, keepdim=True)


def _best(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.max(-1, keepdim=True)


def _one_hot(index: Tensor, num: int) -> Tensor:
    # a comparison, not `scatter_`: as fast, and vmap has a rule for it
    return (index == torch.arange(num, device=index.device)).long()
