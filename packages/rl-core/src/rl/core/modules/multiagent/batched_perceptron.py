"""Perceptrons of many members in one batched product per layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rl.core.modules.networks.layer_calls import is_hooked
from rl.core.modules.networks.mlp import MLP

__all__ = ["BatchedPerceptron", "plan_perceptron"]

# without parameters, and the same whatever stands beside an entry
_ELEMENTWISE = (
    nn.ELU,
    nn.GELU,
    nn.Identity,
    nn.LeakyReLU,
    nn.ReLU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Tanh,
)


class BatchedPerceptron:
    """The layers of a perceptron, to be run with stacked parameters.

    The same as `torch.vmap` over the network, with less to ask at each layer.

    Args:
        steps: for a linear layer the names of weight and bias, for an activation the module.

    Example:
        >>> plan = plan_perceptron(nn.Sequential(nn.Linear(3, 2), nn.Tanh()))
        >>> tensors = {"0.weight": torch.zeros(4, 2, 3), "0.bias": torch.ones(4, 2)}
        >>> plan(tensors, torch.zeros(5, 4, 3), 1, 1).shape
        torch.Size([5, 4, 2])
    """

    def __init__(self, steps: list[tuple[str, str | None] | nn.Module]) -> None:
        self.steps = steps

    def __call__(
        self, tensors: Mapping[str, Tensor], x: Tensor, in_dim: int | None, out_dim: int
    ) -> Tensor:
        """Return the outputs of all members.

        Args:
            tensors: the parameters, each with a first dimension of members.
            x: the inputs `[*B, F]`, with a dimension of members at `in_dim` unless that is None.
            in_dim: where the members are, or None when all read the same.
            out_dim: where the members go in the result.
        """
        if in_dim is None:
            size = next(iter(tensors.values())).shape[0]
            batch = x.shape[:-1]
            hidden = x.reshape(-1, x.shape[-1]).expand(size, -1, -1)
        else:
            x = x.movedim(in_dim, 0)
            batch = x.shape[1:-1]
            hidden = x.reshape(x.shape[0], -1, x.shape[-1])
        for step in self.steps:
            if isinstance(step, nn.Module):
                hidden = step(hidden)
            else:
                weight, bias = tensors[step[0]].mT, step[1]
                hidden = (
                    torch.bmm(hidden, weight)
                    if bias is None
                    else torch.baddbmm(tensors[bias].unsqueeze(1), hidden, weight)
                )
        return hidden.reshape(hidden.shape[0], *batch, hidden.shape[-1]).movedim(0, out_dim)


def plan_perceptron(network: nn.Module) -> BatchedPerceptron | None:
    """Return how to run members like `network` at once; None when it is no plain perceptron."""
    if type(network) not in (MLP, nn.Sequential) or is_hooked(network):
        return None
    if type(network) is MLP and not isinstance(network.out_features, int):
        return None
    steps: list[tuple[str, str | None] | nn.Module] = []
    for name, layer in network._modules.items():
        if is_hooked(layer):
            return None
        if type(layer) is nn.Linear:
            steps.append((f"{name}.weight", None if layer.bias is None else f"{name}.bias"))
        elif type(layer) in _ELEMENTWISE:
            steps.append(layer)
        else:
            return None
    linear = [step for step in steps if isinstance(step, tuple)]
    return BatchedPerceptron(steps) if linear else None
