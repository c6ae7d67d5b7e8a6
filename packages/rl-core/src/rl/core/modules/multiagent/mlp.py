"""Perceptrons of a group of agents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rl.core.errors import ShapeError
from rl.core.modules.multiagent.net_base import MultiAgentNetBase
from rl.core.modules.networks.mlp import MLP

__all__ = ["MultiAgentMLP"]


class MultiAgentMLP(MultiAgentNetBase):
    """An `MLP` for each agent of a group, or one for all; of its own input, or of all inputs.

    Args:
        n_agent_inputs: size of one agent's input; None infers it at the first call.
        n_agent_outputs: size of one agent's output.
        n_agents: number of agents.
        centralized: each network reads the inputs of all agents.
        share_params: one network for all agents; with `centralized` they get the same output.
        device: device of the parameters.
        depth: as in `MLP`.
        num_cells: as in `MLP`.
        activation_class: as in `MLP`.
        use_td_params: without effect; `params` is a TensorDict over ordinary parameters.
        agent_dim: dimension of the agents in the input, counted from the end.
        vmap_randomness: how random numbers differ between agents, as in `MultiAgentNetBase`.
        **kwargs: further arguments of `MLP`.

    Inputs `[*B, n_agents, n_agent_inputs]`, outputs `[*B, n_agents, n_agent_outputs]`; several
    inputs are concatenated along the last dimension.

    Raises:
        RLError: `centralized` or `share_params` is not given.
        ShapeError: at call, the number of agents or the size of their inputs is another.

    Example:
        >>> critic = MultiAgentMLP(6, 1, 3, centralized=True, share_params=True, num_cells=[32])
        >>> critic(torch.zeros(5, 3, 6)).shape
        torch.Size([5, 3, 1])
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        n_agent_inputs: int | None,
        n_agent_outputs: int,
        n_agents: int,
        *,
        centralized: bool | None = None,
        share_params: bool | None = None,
        device: torch.device | str | int | None = None,
        depth: int | None = None,
        num_cells: int | Sequence[int] | None = None,
        activation_class: type[nn.Module] | Callable[..., nn.Module] = nn.Tanh,
        use_td_params: bool = True,
        agent_dim: int = -2,
        vmap_randomness: str = "different",
        **kwargs: Any,
    ) -> None:
        merged = n_agents if centralized else 1
        super().__init__(
            n_agents=n_agents,
            centralized=centralized,
            share_params=share_params,
            agent_dim=agent_dim,
            vmap_randomness=vmap_randomness,
            use_td_params=use_td_params,
            in_features=None if n_agent_inputs is None else n_agent_inputs * merged,
            out_features=n_agent_outputs,
            device=device,
            depth=depth,
            num_cells=num_cells,
            activation_class=activation_class,
            **kwargs,
        )
        self.n_agent_inputs, self.n_agent_outputs = n_agent_inputs, n_agent_outputs

    def _build_single_net(self, **kwargs: Any) -> nn.Module:
        return MLP(**kwargs)

    def _pre_forward_check(self, inputs: Tensor) -> Tensor:
        if self.n_agent_inputs is None:  # known from now on
            self.n_agent_inputs = inputs.shape[-1]
        if self.n_agent_inputs != inputs.shape[-1]:
            raise ShapeError(
                f"`MultiAgentMLP` was given shape {list(inputs.shape)}, expected "
                f"{self.n_agent_inputs} entries per agent: set `n_agent_inputs={inputs.shape[-1]}`."
            )
        return inputs.movedim(self.agent_dim, -2).flatten(-2) if self.centralized else inputs
