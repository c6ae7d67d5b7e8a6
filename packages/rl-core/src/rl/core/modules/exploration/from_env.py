"""Specs of exploration modules, taken from an env."""

from __future__ import annotations

from typing import Any

from torch import nn

from rl.core.modules.exploration.module import ExplorationModule

__all__ = ["set_exploration_modules_spec_from_env"]


def set_exploration_modules_spec_from_env(policy: nn.Module, env: Any) -> None:  # noqa: ANN401
    """Give the env's action spec to the exploration modules of `policy` that have none.

    Args:
        policy: a module that contains exploration modules.
        env: anything with a `full_action_spec`, such as an `EnvBase`.

    Raises:
        SpecError: the action key of a module is not among the env's actions.

    Example:
        >>> from types import SimpleNamespace
        >>> from rl.core.modules.exploration.gaussian import AdditiveGaussianModule
        >>> from rl.core.specs import Bounded, Composite
        >>> explore = AdditiveGaussianModule()
        >>> env = SimpleNamespace(full_action_spec=Composite(action=Bounded(-1, 1, (2,))))
        >>> set_exploration_modules_spec_from_env(explore, env)
        >>> explore.action_spec.shape
        torch.Size([2])
    """
    for module in policy.modules():
        if isinstance(module, ExplorationModule) and module.spec is None:
            module.spec = env.full_action_spec
