"""What networks of a group of agents share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules.exploration.noisy_linear import reset_noise
from rl.core.modules.multiagent.stacked import StackedNetworks, reset_layers

__all__ = ["MultiAgentNetBase"]


class MultiAgentNetBase(nn.Module):
    """A network for each agent of a group, or one for all; of its own input, or of all inputs.

    ==============  =============================  ==========================================
    ..              `share_params=True`            `share_params=False`
    ==============  =============================  ==========================================
    decentralised   one network, each agent's      a network per agent, its own input
                    input
    centralised     one network, all inputs; the   a network per agent, all inputs
                    agents get the same output
    ==============  =============================  ==========================================

    Subclasses write `_build_single_net` and `_pre_forward_check`. Networks of their own are drawn
    apart, stored as parameters with a first dimension of agents and mapped with `torch.vmap`.

    Args:
        n_agents: number of agents.
        centralized: each network reads the inputs of all agents.
        share_params: one network for all agents.
        agent_dim: dimension of the agents in the input, counted from the end. The output has it
            at the same place counted from the front.
        vmap_randomness: how random numbers (dropout) differ between agents: `"different"`,
            `"same"` or `"error"`.
        use_td_params: without effect; `params` is a TensorDict over ordinary parameters.
        **kwargs: passed to `_build_single_net`.

    Raises:
        RLError: `n_agents`, `centralized`, `share_params` or `agent_dim` is missing or wrong.
        ShapeError: at call, the input has another number of agents.

    Example:
        >>> class Linears(MultiAgentNetBase):
        ...     def _build_single_net(self, *, device=None):
        ...         return nn.Linear(3, 2, device=device)
        ...     def _pre_forward_check(self, inputs):
        ...         return inputs
        >>> net = Linears(n_agents=4, centralized=False, share_params=False, agent_dim=-2)
        >>> net(torch.zeros(5, 4, 3)).shape, net.params["weight"].shape
        (torch.Size([5, 4, 2]), torch.Size([4, 2, 3]))
    """

    def __init__(
        self,
        *,
        n_agents: int,
        centralized: bool | None = None,
        share_params: bool | None = None,
        agent_dim: int | None = None,
        vmap_randomness: str = "different",
        use_td_params: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        del use_td_params
        name = type(self).__name__
        if not isinstance(n_agents, int) or n_agents < 1:
            raise RLError(f"`{name}` was given n_agents={n_agents!r}, expected a positive number.")
        if centralized is None or share_params is None:
            raise RLError(
                f"`{name}` was given centralized={centralized}, share_params={share_params}: pass "
                "True or False for both."
            )
        if agent_dim is None or agent_dim >= 0:
            raise RLError(
                f"`{name}` was given agent_dim={agent_dim}, expected a negative number: count "
                "from the end, batch dimensions come first."
            )
        self.n_agents, self.agent_dim = n_agents, agent_dim
        self.centralized, self.share_params = centralized, share_params
        if share_params:
            self.agents = self._build_single_net(**kwargs)
        else:
            networks = [self._build_single_net(**kwargs) for _ in range(n_agents)]
            self.agents = StackedNetworks(networks, vmap_randomness)
        # saved under the name that users have in their files
        self.register_state_dict_post_hook(_rename_saved)
        self.register_load_state_dict_pre_hook(_rename_loaded)

    @abstractmethod
    def _build_single_net(self, *, device: torch.device | str | int | None = None) -> nn.Module:
        """Return a new network of one agent."""

    @abstractmethod
    def _pre_forward_check(self, inputs: Tensor) -> Tensor:
        """Check the input; when centralised, return it with the agents merged into the features."""

    @property
    def params(self) -> TensorDict:
        """The parameters as a TensorDict, which has the agents as batch when they are not shared.

        Its leaves are the parameters themselves.
        """
        params = TensorDict.from_module(self.agents)
        if not self.share_params:
            params.batch_size = [self.n_agents]
        return params

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the output of each agent.

        Args:
            *inputs: each with the agents at `agent_dim`; several are concatenated along the last
                dimension.
        """
        x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, -1)
        place = x.dim() + self.agent_dim
        if place < 0 or x.shape[place] != self.n_agents:
            raise ShapeError(
                f"`{type(self).__name__}` was given shape {list(x.shape)}, expected "
                f"{self.n_agents} agents at dimension {self.agent_dim}: set `n_agents`, or "
                "`agent_dim` to where the agents are."
            )
        x = self._pre_forward_check(x)
        if not self.share_params:
            return self.agents(x, None if self.centralized else place, place)
        out = self.agents(x)
        if not self.centralized:
            return out
        shape = (*out.shape[:place], self.n_agents, *out.shape[place:])
        return out.unsqueeze(place).expand(shape)

    def get_stateful_net(self) -> nn.Module:
        """Return the network of all agents, or copies of those of each, to initialise them.

        Give the result to `from_stateful_net` afterwards.

        Example:
            >>> from rl.core.modules import MultiAgentMLP
            >>> net = MultiAgentMLP(3, 2, 4, centralized=False, share_params=False)
            >>> networks = net.get_stateful_net()
            >>> for network in networks:
            ...     _ = nn.init.zeros_(network[0].weight)
            >>> net.from_stateful_net(networks)
            >>> net.params["0", "weight"].abs().sum().item()
            0.0
        """
        return self.agents if self.share_params else self.agents.unstack()

    def from_stateful_net(self, stateful_net: nn.Module | Sequence[nn.Module]) -> None:
        """Take over the parameters of what `get_stateful_net` returned."""
        if self.share_params:
            self.agents.load_state_dict(stateful_net.state_dict())
        else:
            self.agents.restack(stateful_net)

    def reset_parameters(self) -> None:
        """Draw every parameter anew, for each agent apart."""
        networks = self.get_stateful_net()
        reset_layers(networks)
        if not self.share_params:
            self.agents.restack(networks)

    def reset_noise(self) -> None:
        """Draw new noise in the noisy layers of each agent; `net.apply(reset_noise)` calls it."""
        if not self.share_params:
            networks = self.agents.unstack()
            networks.apply(reset_noise)
            self.agents.restack(networks, buffers_only=True)

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"n_agents={self.n_agents}, centralized={self.centralized}, "
            f"share_params={self.share_params}, agent_dim={self.agent_dim}"
        )


def _rename_saved(module: nn.Module, state_dict: dict, prefix: str, metadata: dict) -> None:
    del module, metadata
    _rename(state_dict, f"{prefix}agents.", f"{prefix}params.")


def _rename_loaded(module: nn.Module, state_dict: dict, prefix: str, *args: Any) -> None:
    del module, args
    _rename(state_dict, f"{prefix}params.", f"{prefix}agents.")


def _rename(state_dict: dict, old: str, new: str) -> None:
    for key in [key for key in state_dict if key.startswith(old)]:
        state_dict[new + key.removeprefix(old)] = state_dict.pop(key)
