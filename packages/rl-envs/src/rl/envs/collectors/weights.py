"""The policy that collects, beside the one that is trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import nn

__all__ = ["PolicyCopy"]


class PolicyCopy:
    """Holds the collecting policy: the trained module itself, or a copy of it on another device.

    Args:
        policy: what is trained; anything callable.
        device: where the collecting policy lives; None for where it is.

    Example:
        >>> source = nn.Linear(1, 1)
        >>> PolicyCopy(source, None).policy is source
        True
    """

    def __init__(self, policy: Any, device: torch.device | None) -> None:  # noqa: ANN401
        #: what is trained
        self.source = policy
        self.policy = policy
        if isinstance(policy, nn.Module) and device is not None and _elsewhere(policy, device):
            self.policy = copy.deepcopy(policy).to(device).requires_grad_(False)

    @torch.no_grad()
    def update(self, weights: Any = None) -> None:  # noqa: ANN401
        """Copy weights into the collecting policy.

        Args:
            weights: a module, a state_dict or a TensorDict of parameters; the trained policy if
                None.

        Raises:
            KeyError: the weights lack an entry of the policy, or have one more.
        """
        if weights is None:
            weights = self.source
        if weights is self.policy or not isinstance(self.policy, nn.Module):
            return
        if isinstance(weights, TensorDictBase):
            weights = dict(weights.flatten_keys(".").items())
        elif isinstance(weights, nn.Module):
            weights = weights.state_dict()
        own = self.policy.state_dict()
        unknown, missing = weights.keys() - own.keys(), own.keys() - weights.keys()
        if unknown or missing:
            raise KeyError(
                f"The weights do not fit the collecting policy: unknown {sorted(unknown)}, missing "
                f"{sorted(missing)}. Pass the `state_dict()` of the same module."
            )
        for name, value in weights.items():
            own[name].copy_(value)


def _elsewhere(module: nn.Module, device: torch.device) -> bool:
    tensors = [*module.parameters(), *module.buffers()]
    return any(tensor.device != device for tensor in tensors)
