"""Greedy policies over distributions of action values (C51, Bellemare et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tensordict.nn import TensorDictModuleBase
from torch import Tensor, nn

from rl.core.contract.keys import NestedKey
from rl.core.modules.actors.action_space import action_space_of, greedy
from rl.core.modules.actors.q_value import QValueModule, value_network, variable_sizes
from rl.core.modules.actors.safe_module import SafeSequential
from rl.core.modules.networks.distributional import DistributionalDQNnet
from rl.core.specs.base import TensorSpec

__all__ = [
    "DistributionalQValueActor",
    "DistributionalQValueHook",
    "DistributionalQValueModule",
]


class DistributionalQValueModule(QValueModule):
    """Choose the action whose distribution of values has the greatest mean.

    Args:
        action_space: as in `QValueModule`.
        support: `[atoms]` the value of each atom.
        action_value_key: where the log-probabilities are.
        action_mask_key: where a mask of legal actions is.
        out_keys: action and log-probabilities; default `["action", "action_value"]`.
        var_nums: sizes of the variables of a multi-discrete action.
        spec: the action's spec.
        safe: project actions that are outside the spec into it.

    Reads:
        action_value: `[*B, atoms, N]` log-probabilities.
    Writes:
        action: `[*B, N]` or `[*B]` int64, by `action_space`.
        action_value: as read.

    Example:
        >>> from tensordict import TensorDict
        >>> log_probs = torch.tensor([[[0.9, 0.1], [0.1, 0.9]]]).log()
        >>> td = TensorDict(action_value=log_probs, batch_size=[1])
        >>> choose = DistributionalQValueModule("one_hot", support=torch.tensor([0.0, 1.0]))
        >>> choose(td)["action"]
        tensor([[0, 1]])
    """

    def __init__(
        self,
        action_space: str | None,
        support: Tensor,
        action_value_key: NestedKey | None = None,
        action_mask_key: NestedKey | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        var_nums: Sequence[int] | None = None,
        spec: TensorSpec | None = None,
        safe: bool = False,
    ) -> None:
        value_key = "action_value" if action_value_key is None else action_value_key
        super().__init__(
            action_space=action_space,
            action_value_key=value_key,
            action_mask_key=action_mask_key,
            out_keys=["action", value_key] if out_keys is None else out_keys,
            var_nums=var_nums,
            spec=spec,
            safe=safe,
        )
        self.register_buffer("support", support)

    def _choose(self, values: Tensor) -> tuple[Tensor, ...]:
        means = expected_value(values, self.support)
        return greedy(means, self.action_space, self.var_nums)[0], values

    def _mask(self, values: Tensor, legal: Tensor) -> Tensor:
        # a finite floor on the worst atom's neighbours keeps exp() exact: all mass on one atom
        worst = torch.full_like(values, torch.finfo(values.dtype).min)
        worst[..., self.support.argmin(), :] = 0.0
        return torch.where(legal.unsqueeze(-2), values, worst)


class DistributionalQValueActor(SafeSequential):
    """A network of value distributions and the greedy choice among their means.

    Args:
        module: a network that writes `[*B, atoms, N]`.
        support: `[atoms]` the value of each atom.
        in_keys: entries that a callable reads; default `["observation"]`.
        spec: the action's spec.
        safe: project actions that are outside the spec into it.
        var_nums: sizes of the variables of a multi-discrete action.
        action_space: kind of actions; default: taken from `spec`.
        action_value_key: where the log-probabilities go.
        action_mask_key: where a mask of legal actions is.
        make_log_softmax: append `DistributionalDQNnet`; False when the network has one.

    Reads:
        observation: `[*B, *O]`.
    Writes:
        action_value, action: as `DistributionalQValueModule`.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.modules.networks.mlp import MLP
        >>> net = MLP(in_features=3, out_features=(51, 2))
        >>> actor = DistributionalQValueActor(
        ...     net, support=torch.linspace(0, 1, 51), action_space="one_hot"
        ... )
        >>> actor(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))["action"].shape
        torch.Size([5, 2])
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        module: Callable | TensorDictModuleBase,
        support: Tensor,
        in_keys: Sequence[NestedKey] | None = None,
        spec: TensorSpec | None = None,
        safe: bool = False,
        var_nums: Sequence[int] | None = None,
        action_space: str | None = None,
        action_value_key: NestedKey = "action_value",
        action_mask_key: NestedKey | None = None,
        make_log_softmax: bool = True,
    ) -> None:
        network = value_network(module, in_keys, action_value_key)
        choice = DistributionalQValueModule(
            action_space,
            support,
            action_value_key=action_value_key,
            action_mask_key=action_mask_key,
            var_nums=var_nums,
            spec=spec,
            safe=safe,
        )
        key = [action_value_key]
        middle = [DistributionalDQNnet(in_keys=key, out_keys=key)] if make_log_softmax else []
        super().__init__(network, *middle, choice)

    @property
    def support(self) -> Tensor:
        """The value of each atom `[atoms]`."""
        return self.module[-1].support


class DistributionalQValueHook:
    """A forward hook that turns a network of log-probabilities into a greedy policy.

    Args:
        action_space: kind of actions.
        support: `[atoms]` the value of each atom.
        var_nums: sizes of the variables of a multi-discrete action.

    Example:
        >>> from rl.core.modules.networks.mlp import MLP
        >>> net = MLP(in_features=3, out_features=(5, 2))
        >>> handle = net.register_forward_hook(
        ...     DistributionalQValueHook("one_hot", torch.arange(5.0))
        ... )
        >>> net(torch.zeros(4, 3))[0].shape
        torch.Size([4, 2])
    """

    def __init__(
        self, action_space: str, support: Tensor, var_nums: Sequence[int] | None = None
    ) -> None:
        self.action_space = action_space_of(action_space, None)
        self.support = support
        self.var_nums = variable_sizes(self.action_space, var_nums, None)

    def __call__(self, net: nn.Module, inputs: Any, values: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Return action and log-probabilities."""
        means = expected_value(values, self.support)
        return greedy(means, self.action_space, self.var_nums)[0], values


def expected_value(log_probs: Tensor, support: Tensor) -> Tensor:
    """Return the mean value `[*B, N]` of log-probabilities `[*B, atoms, N]`."""
    return (log_probs.exp() * support.to(log_probs).unsqueeze(-1)).sum(-2)
