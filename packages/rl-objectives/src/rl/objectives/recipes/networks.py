"""The networks of the recipes: multi-layer perceptrons on the flat observation."""

from __future__ import annotations

import math

import torch
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import nn

from rl.core import (
    MLP,
    Bounded,
    OneHotCategorical,
    ProbabilisticActor,
    SpecError,
    TanhNormal,
    ValueOperator,
)
from rl.envs import EnvBase

__all__ = ["make_actor", "make_critic", "make_state_action_critic", "sizes_of"]


def sizes_of(env: EnvBase) -> tuple[int, int]:
    """Return the sizes of the flat observation and action of `env`.

    Raises:
        SpecError: the observation is no single vector.
    """
    spec = env.observation_spec_unbatched
    if "observation" not in spec or len(spec["observation"].shape) != 1:
        raise SpecError(
            f"The recipe reads one flat `observation`, {env} gives {list(spec.keys(True, True))}: "
            "flatten and concatenate them (`gymnasium.wrappers.FlattenObservation`)."
        )
    return spec["observation"].shape[-1], env.action_spec_unbatched.shape[-1]


def make_actor(
    env: EnvBase, hidden: tuple[int, ...], activation: type[nn.Module], *, orthogonal: bool = False
) -> ProbabilisticActor:
    """Return a stochastic policy: tanh-normal or, for discrete actions, categorical.

    Args:
        env: what the policy acts in.
        hidden: widths of the hidden layers.
        activation: between layers.
        orthogonal: orthogonal weights, the last layer's small (Andrychowicz et al. 2021, section
            3.2).
    """
    num_inputs, num_actions = sizes_of(env)
    spec = env.full_action_spec_unbatched
    continuous = isinstance(env.action_spec_unbatched, Bounded)
    net: nn.Module = MLP(
        num_inputs,
        num_actions * (2 if continuous else 1),
        num_cells=hidden,
        activation_class=activation,
    )
    if orthogonal:
        orthogonal_(net, last_gain=0.01)
    if not continuous:
        module = TensorDictModule(net, in_keys=["observation"], out_keys=["logits"])
        return ProbabilisticActor(
            module,
            in_keys=["logits"],
            spec=spec,
            distribution_class=OneHotCategorical,
            return_log_prob=True,
        )
    net = nn.Sequential(net, NormalParamExtractor())
    module = TensorDictModule(net, in_keys=["observation"], out_keys=["loc", "scale"])
    space = env.action_spec_unbatched.space
    return ProbabilisticActor(
        module,
        in_keys=["loc", "scale"],
        spec=spec,
        distribution_class=TanhNormal,
        distribution_kwargs={"low": space.low, "high": space.high},
        return_log_prob=True,
    )


def make_critic(
    env: EnvBase, hidden: tuple[int, ...], activation: type[nn.Module], *, orthogonal: bool = False
) -> ValueOperator:
    """Return a state-value network."""
    net = MLP(sizes_of(env)[0], 1, num_cells=hidden, activation_class=activation)
    if orthogonal:
        orthogonal_(net, last_gain=1.0)
    return ValueOperator(net, in_keys=["observation"])


def make_state_action_critic(
    env: EnvBase, hidden: tuple[int, ...], activation: type[nn.Module]
) -> ValueOperator:
    """Return a state-action value network."""
    net = MLP(sum(sizes_of(env)), 1, num_cells=hidden, activation_class=activation)
    return ValueOperator(net, in_keys=["observation", "action"])


@torch.no_grad()
def orthogonal_(net: nn.Module, *, last_gain: float) -> None:
    """Initialise the linear layers of `net` with orthogonal weights and zero biases, in place."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        gain = last_gain if layer is layers[-1] else math.sqrt(2)
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
