"""A critic over several groups of agents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from tensordict.nn import TensorDictModule
from torch import Tensor, nn

from rl.core.contract.keys import NestedKey
from rl.core.errors import RLError, ShapeError, nearest
from rl.core.modules.networks.mlp import MLP

__all__ = ["CrossCriticGroupSpec", "CrossGroupCritic"]


@dataclass
class CrossCriticGroupSpec:
    """What a `CrossGroupCritic` needs to know of one group.

    Attributes:
        obs_dim: size of an agent's observation.
        n_agents: number of agents.
        obs_key: where the observations `[*B, n_agents, obs_dim]` are.
        value_key: where the values `[*B, n_agents, 1]` go.

    Example:
        >>> CrossCriticGroupSpec(4, 2, ("red", "observation"), ("red", "state_value")).n_agents
        2
    """

    obs_dim: int
    n_agents: int
    obs_key: NestedKey
    value_key: NestedKey


class CrossGroupCritic(TensorDictModule):
    """The values of the agents of several groups from the observations of all.

    Each group has an encoder to a common size. For each agent, one trunk reads the embeddings of
    all agents of all groups and the agent's own, and a head makes its output the agent's value: a
    centralised critic (Yu et al. 2022, section 2) for groups that differ in number and in
    observations.

    Args:
        group_map: the groups by name, in order.
        d_model: size of an embedding.
        trunk_depth: hidden layers of the trunk.
        trunk_cells: their width.
        activation_class: activation of encoders and trunk.
        share_params: one head for all groups, instead of one for each.
        detach_groups: groups whose observations inform the values of the others while no
            gradient flows into their encoder, such as a team with a fixed policy.
        device: device of the parameters.

    Reads:
        obs_key of each group: `[*B, n_agents, obs_dim]`.
    Writes:
        value_key of each group: `[*B, n_agents, 1]`.

    Raises:
        RLError: there is no group, or `detach_groups` names an unknown one.
        ShapeError: at call, a group has another number of agents or size of observations.

    Example:
        >>> from tensordict import TensorDict
        >>> def group(name, obs_dim, n_agents):
        ...     keys = (name, "observation"), (name, "state_value")
        ...     return CrossCriticGroupSpec(obs_dim, n_agents, *keys)
        >>> groups = {"red": group("red", 4, 2), "blue": group("blue", 6, 3)}
        >>> critic = CrossGroupCritic(groups)
        >>> td = TensorDict(
        ...     red=TensorDict(observation=torch.zeros(5, 2, 4)),
        ...     blue=TensorDict(observation=torch.zeros(5, 3, 6)),
        ...     batch_size=[5],
        ... )
        >>> critic(td)["blue", "state_value"].shape
        torch.Size([5, 3, 1])
    """

    def __init__(
        self,
        group_map: Mapping[str, CrossCriticGroupSpec],
        *,
        d_model: int = 64,
        trunk_depth: int = 2,
        trunk_cells: int = 256,
        activation_class: type[nn.Module] | Callable[..., nn.Module] = nn.Tanh,
        share_params: bool = False,
        detach_groups: Iterable[str] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        if not group_map:
            raise RLError("`CrossGroupCritic` was given no group: name one in `group_map`.")
        detached = frozenset(() if detach_groups is None else detach_groups)
        for name in detached - set(group_map):
            raise RLError(f"`{name}` of `detach_groups` is no group. {nearest(name, group_map)}")
        size = d_model * (1 + sum(spec.n_agents for spec in group_map.values()))
        trunk: nn.Module = nn.Identity()
        if trunk_depth:
            trunk = MLP(
                in_features=size,
                out_features=trunk_cells,
                depth=trunk_depth - 1,
                num_cells=trunk_cells,
                activation_class=activation_class,
                activate_last_layer=True,
                device=device,
            )
            size = trunk_cells
        encoders = {
            name: nn.Sequential(nn.Linear(spec.obs_dim, d_model, device=device), activation_class())
            for name, spec in group_map.items()
        }
        num_heads = 1 if share_params else len(group_map)
        heads = [nn.Linear(size, 1, device=device) for _ in range(num_heads)]
        super().__init__(
            _CrossGroupNet(dict(group_map), encoders, trunk, heads, detached),
            in_keys=[spec.obs_key for spec in group_map.values()],
            out_keys=[spec.value_key for spec in group_map.values()],
        )
        self.group_map = dict(group_map)


class _CrossGroupNet(nn.Module):
    """One observation tensor per group in, one value tensor per group out."""

    def __init__(
        self,
        groups: dict[str, CrossCriticGroupSpec],
        encoders: dict[str, nn.Module],
        trunk: nn.Module,
        heads: list[nn.Module],
        detached: frozenset[str],
    ) -> None:
        super().__init__()
        self.groups, self.detached = groups, detached
        self.encoders = nn.ModuleList(encoders.values())
        self.trunk, self.heads = trunk, nn.ModuleList(heads)

    def forward(self, *observations: Tensor) -> tuple[Tensor, ...]:
        embeddings = []
        for (name, spec), encoder, obs in zip(
            self.groups.items(), self.encoders, observations, strict=True
        ):
            _check(name, spec, obs)
            embedding = encoder(obs)
            embeddings.append(embedding.detach() if name in self.detached else embedding)
        team = torch.cat(embeddings, -2).flatten(-2).unsqueeze(-2)
        values = []
        for index, own in enumerate(embeddings):
            head = self.heads[index if len(self.heads) > 1 else 0]
            seen = torch.cat([team.expand(*own.shape[:-1], team.shape[-1]), own], -1)
            values.append(head(self.trunk(seen)))
        return tuple(values)


def _check(name: str, spec: CrossCriticGroupSpec, obs: Tensor) -> None:
    if obs.shape[-2:] != (spec.n_agents, spec.obs_dim):
        raise ShapeError(
            f"The observations of group `{name}` have shape {list(obs.shape)}, expected "
            f"[*B, {spec.n_agents}, {spec.obs_dim}]: set `n_agents` and `obs_dim` of its spec."
        )
