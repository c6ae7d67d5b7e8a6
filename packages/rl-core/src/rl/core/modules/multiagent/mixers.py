"""Mixers: the value of a team from the values of its agents' actions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rl.core.errors import RLError, ShapeError

__all__ = ["Mixer", "QMixer", "VDNMixer"]


class Mixer(nn.Module):
    """The value of a team from the values of its agents' chosen actions.

    Subclasses write `mix`.

    Args:
        n_agents: number of agents.
        needs_state: the mixture depends on the global state.
        state_shape: shape of the state, when it does.
        device: device of the parameters.

    Raises:
        RLError: the state is needed and has no shape; at call, there are more or fewer inputs.
        ShapeError: at call, values or state have another shape.

    Example:
        >>> class Mean(Mixer):
        ...     def mix(self, chosen_action_value, state):
        ...         return chosen_action_value.mean(-2)
        >>> Mean(n_agents=3, needs_state=False)(torch.ones(5, 3, 1)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        n_agents: int,
        needs_state: bool,
        state_shape: Sequence[int] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        if needs_state and state_shape is None:
            raise RLError(
                f"`{type(self).__name__}` needs the state and was not given its shape: pass "
                "`state_shape=`."
            )
        self.n_agents, self.needs_state, self.device = n_agents, needs_state, device
        self.state_shape = None if state_shape is None else torch.Size(state_shape)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the team's value `[*B, 1]`.

        Args:
            *inputs: the chosen actions' values `[*B, n_agents, 1]` and, when it is needed, the
                state `[*B, *state_shape]`.
        """
        if len(inputs) != 1 + self.needs_state:
            names = "chosen_action_value, state" if self.needs_state else "chosen_action_value"
            raise RLError(
                f"`{type(self).__name__}` was called with {len(inputs)} tensors, expected "
                f"({names}): give one key of `in_keys` for each."
            )
        value, state = inputs[0], inputs[1] if self.needs_state else None
        name = type(self).__name__
        if value.dim() < 2 or value.shape[-2:] != (self.n_agents, 1):
            raise ShapeError(
                f"`{name}` was given values of shape {list(value.shape)}, expected "
                f"[*B, {self.n_agents}, 1]: the chosen action's value of each agent."
            )
        if state is not None and state.shape != (*value.shape[:-2], *self.state_shape):
            raise ShapeError(
                f"`{name}` was given a state of shape {list(state.shape)}, expected "
                f"{[*value.shape[:-2], *self.state_shape]}: set `state_shape`, or drop the "
                "dimension of agents from the state."
            )
        return self.mix(value, state)

    @abstractmethod
    def mix(self, chosen_action_value: Tensor, state: Tensor | None) -> Tensor:
        """Return the team's value `[*B, 1]` of checked inputs."""


class VDNMixer(Mixer):
    """The sum of the agents' values (Sunehag et al. 2018).

    Args:
        n_agents: number of agents.
        device: without effect, there are no parameters.

    Example:
        >>> VDNMixer(n_agents=3)(torch.ones(5, 3, 1))[0]
        tensor([3.])
    """

    def __init__(self, n_agents: int, device: torch.device | str | int | None = None) -> None:
        super().__init__(n_agents=n_agents, needs_state=False, device=device)

    def mix(self, chosen_action_value: Tensor, state: Tensor | None) -> Tensor:
        """Return the sum over agents."""
        del state
        return chosen_action_value.sum(-2)


class QMixer(Mixer):
    """A network that grows with every agent's value and whose weights depend on the state.

    `Q = elu(q |W1(s)| + b1(s)) |w2(s)| + V(s)`, W1, b1, w2 linear in the state and V a network with
    one hidden layer (Rashid et al. 2018, section 4): the best joint action is made of each agent's
    best action.

    Args:
        state_shape: shape of the global state.
        mixing_embed_dim: size of the hidden layer.
        n_agents: number of agents.
        device: device of the parameters.

    Example:
        >>> mixer = QMixer(state_shape=(8,), mixing_embed_dim=16, n_agents=3)
        >>> mixer(torch.ones(5, 3, 1), torch.zeros(5, 8)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        state_shape: Sequence[int],
        mixing_embed_dim: int,
        n_agents: int,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__(
            n_agents=n_agents, needs_state=True, state_shape=state_shape, device=device
        )
        self.embed_dim, self.state_dim = mixing_embed_dim, self.state_shape.numel()
        size, hidden = self.state_dim, mixing_embed_dim
        self.hyper_w_1 = nn.Linear(size, hidden * n_agents, device=device)
        self.hyper_w_final = nn.Linear(size, hidden, device=device)
        self.hyper_b_1 = nn.Linear(size, hidden, device=device)
        self.V = nn.Sequential(
            nn.Linear(size, hidden, device=device),
            nn.ReLU(),
            nn.Linear(hidden, 1, device=device),
        )

    def mix(self, chosen_action_value: Tensor, state: Tensor) -> Tensor:
        """Return the mixed value."""
        state = state.flatten(-len(self.state_shape)) if self.state_shape else state.unsqueeze(-1)
        w_1 = self.hyper_w_1(state).abs().unflatten(-1, (self.n_agents, self.embed_dim))
        b_1 = self.hyper_b_1(state)
        hidden = functional.elu((chosen_action_value * w_1).sum(-2) + b_1)
        w_final = self.hyper_w_final(state).abs()
        return (hidden * w_final).sum(-1, keepdim=True) + self.V(state)
