"""Convolutional networks of a group of agents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rl.core.errors import ShapeError
from rl.core.modules.multiagent.net_base import MultiAgentNetBase
from rl.core.modules.networks.conv import ConvNet

__all__ = ["MultiAgentConvNet"]


class MultiAgentConvNet(MultiAgentNetBase):
    """A `ConvNet` for each agent of a group, or one for all; of its own image, or of all images.

    Args:
        n_agents: number of agents.
        centralized: each network reads the images of all agents, as further channels.
        share_params: one network for all agents; with `centralized` they get the same output.
        in_features: channels of one agent's image; None infers it at the first call.
        device: device of the parameters.
        num_cells: as in `ConvNet`.
        kernel_sizes: as in `ConvNet`.
        strides: as in `ConvNet`.
        paddings: as in `ConvNet`.
        activation_class: as in `ConvNet`.
        use_td_params: without effect; `params` is a TensorDict over ordinary parameters.
        agent_dim: dimension of the agents in the input, counted from the end.
        vmap_randomness: how random numbers differ between agents, as in `MultiAgentNetBase`.
        **kwargs: further arguments of `ConvNet`.

    Inputs `[*B, n_agents, C, H, W]`, outputs `[*B, n_agents, F]`.

    Raises:
        RLError: `centralized` or `share_params` is not given.
        ShapeError: at call, the number of agents or of channels is another.

    Example:
        >>> net = MultiAgentConvNet(3, centralized=False, share_params=False, num_cells=[4, 4])
        >>> net(torch.zeros(5, 3, 2, 20, 20)).shape
        torch.Size([5, 3, 16])
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        n_agents: int,
        centralized: bool | None = None,
        share_params: bool | None = None,
        *,
        in_features: int | None = None,
        device: torch.device | str | int | None = None,
        num_cells: int | Sequence[int] | None = None,
        kernel_sizes: int | Sequence[int | Sequence[int]] = 5,
        strides: int | Sequence[int | Sequence[int]] = 2,
        paddings: int | Sequence[int | Sequence[int]] = 0,
        activation_class: type[nn.Module] | Callable[..., nn.Module] = nn.ELU,
        use_td_params: bool = True,
        agent_dim: int = -4,
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
            in_features=None if in_features is None else in_features * merged,
            device=device,
            num_cells=num_cells,
            kernel_sizes=kernel_sizes,
            strides=strides,
            paddings=paddings,
            activation_class=activation_class,
            **kwargs,
        )
        self.in_features = in_features

    def _build_single_net(self, **kwargs: Any) -> nn.Module:
        return ConvNet(**kwargs)

    def _pre_forward_check(self, inputs: Tensor) -> Tensor:
        channels = inputs.shape[-3]
        if self.in_features is None:  # known from now on
            self.in_features = channels
        if self.in_features != channels:
            raise ShapeError(
                f"`MultiAgentConvNet` was given shape {list(inputs.shape)}, expected "
                f"{self.in_features} channels at dimension -3: set `in_features={channels}`."
            )
        if not self.centralized:
            return inputs
        return inputs.movedim(self.agent_dim, -4).flatten(-4, -3)
