"""Policies and critics in one module, with or without a shared trunk."""

from __future__ import annotations

from collections.abc import Callable

from tensordict.nn import (
    ProbabilisticTensorDictSequential,
    TensorDictModuleBase,
    TensorDictSequential,
)

from rl.core.errors import RLError
from rl.core.modules.actors.probabilistic import SafeProbabilisticTensorDictSequential
from rl.core.modules.actors.safe_module import SafeSequential
from rl.core.modules.actors.value import ValueOperator

__all__ = ["ActorCriticOperator", "ActorCriticWrapper", "ActorValueOperator"]


class ActorValueOperator(SafeSequential):
    """A trunk, a policy and a state-value critic that both read its features.

    Args:
        common_operator: the trunk, a TensorDict module.
        policy_operator: reads the trunk's outputs, writes the action.
        value_operator: reads the trunk's outputs, writes the value. A module of tensors is wrapped
            in a `ValueOperator` that reads them in order.

    Reads:
        in_keys: what the trunk reads.
    Writes:
        out_keys: the outputs of trunk, policy and critic.

    The operators returned below share the parameters of this one.

    Example:
        >>> import torch
        >>> from rl.core.modules.actors.actor import Actor
        >>> from rl.core.modules.actors.safe_module import SafeModule
        >>> both = ActorValueOperator(
        ...     SafeModule(torch.nn.Linear(3, 4), ["observation"], ["hidden"]),
        ...     Actor(torch.nn.Linear(4, 2), in_keys=["hidden"]),
        ...     torch.nn.Linear(4, 1),
        ... )
        >>> both.get_policy_operator().out_keys, both.get_value_operator().out_keys
        (['hidden', 'action'], ['hidden', 'state_value'])
    """

    def __init__(
        self,
        common_operator: TensorDictModuleBase,
        policy_operator: TensorDictModuleBase,
        value_operator: TensorDictModuleBase | Callable,
    ) -> None:
        if not isinstance(value_operator, TensorDictModuleBase):
            value_operator = ValueOperator(value_operator, in_keys=list(common_operator.out_keys))
        super().__init__(common_operator, policy_operator, value_operator)

    def get_policy_operator(self) -> TensorDictSequential:
        """Return trunk and policy."""
        return _chain(self.module[0], self.module[1])

    def get_value_operator(self) -> TensorDictSequential:
        """Return trunk and critic."""
        return SafeSequential(self.module[0], self.module[2])

    def get_policy_head(self) -> TensorDictModuleBase:
        """Return the policy, which reads the trunk's outputs."""
        return self.module[1]

    def get_value_head(self) -> TensorDictModuleBase:
        """Return the critic, which reads the trunk's outputs."""
        return self.module[2]


class ActorCriticOperator(ActorValueOperator):
    """A trunk, a policy, and a critic that reads the policy's action.

    Args:
        common_operator: the trunk.
        policy_operator: reads the trunk's outputs, writes the action.
        value_operator: reads the trunk's outputs and the action, writes the value. A module of
            tensors is wrapped in a `ValueOperator` that reads them in order.

    Reads:
        in_keys: what the trunk reads.
    Writes:
        out_keys: the outputs of trunk, policy and critic.

    Example:
        >>> import torch
        >>> from rl.core.modules.actors.actor import Actor
        >>> from rl.core.modules.actors.safe_module import SafeModule
        >>> both = ActorCriticOperator(
        ...     SafeModule(torch.nn.Linear(3, 4), ["observation"], ["hidden"]),
        ...     Actor(torch.nn.Linear(4, 2), in_keys=["hidden"]),
        ...     torch.nn.Bilinear(4, 2, 1),
        ... )
        >>> both.get_critic_operator().out_keys
        ['hidden', 'action', 'state_action_value']
    """

    def __init__(
        self,
        common_operator: TensorDictModuleBase,
        policy_operator: TensorDictModuleBase,
        value_operator: TensorDictModuleBase | Callable,
    ) -> None:
        if not isinstance(value_operator, TensorDictModuleBase):
            keys = [*common_operator.out_keys, "action"]
            value_operator = ValueOperator(value_operator, in_keys=keys)
        super().__init__(common_operator, policy_operator, value_operator)

    def get_critic_operator(self) -> SafeSequential:
        """Return trunk, policy and critic: the value of the policy's own action."""
        return self

    def get_value_operator(self) -> TensorDictSequential:
        """Raise: this critic values actions, not states."""
        raise RLError(
            "The critic of `ActorCriticOperator` reads the action: call `get_critic_operator()`."
        )


class ActorCriticWrapper(SafeSequential):
    """A policy and a critic that share nothing.

    Args:
        policy_operator: reads observations, writes the action.
        value_operator: reads observations, writes the value.

    Reads:
        in_keys: what policy and critic read.
    Writes:
        out_keys: the outputs of both.

    Example:
        >>> import torch
        >>> from rl.core.modules.actors.actor import Actor
        >>> pair = ActorCriticWrapper(
        ...     Actor(torch.nn.Linear(3, 2)), ValueOperator(torch.nn.Linear(3, 1))
        ... )
        >>> pair.out_keys
        ['action', 'state_value']
    """

    def __init__(
        self, policy_operator: TensorDictModuleBase, value_operator: TensorDictModuleBase
    ) -> None:
        super().__init__(policy_operator, value_operator)

    def get_policy_operator(self) -> TensorDictModuleBase:
        """Return the policy."""
        return self.module[0]

    def get_value_operator(self) -> TensorDictModuleBase:
        """Return the critic."""
        return self.module[1]

    def get_policy_head(self) -> TensorDictModuleBase:
        """Return the policy: without a trunk, head and operator are one."""
        return self.module[0]

    def get_value_head(self) -> TensorDictModuleBase:
        """Return the critic: without a trunk, head and operator are one."""
        return self.module[1]


def _chain(trunk: TensorDictModuleBase, policy: TensorDictModuleBase) -> TensorDictSequential:
    """Return trunk and policy as one sequence, probabilistic when the policy is."""
    if isinstance(policy, ProbabilisticTensorDictSequential):
        # flat, so that the chain keeps its short road
        return SafeProbabilisticTensorDictSequential(trunk, *policy.module)
    return SafeSequential(trunk, policy)
