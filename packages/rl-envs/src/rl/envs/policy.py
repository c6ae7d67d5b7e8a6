"""What may serve as a policy, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import nn

from rl.core.errors import MissingKeyError, nearest
from rl.core.modules import SafeProbabilisticTensorDictSequential
from rl.core.modules.actors.compat import ensure_tensordict_compatible

if TYPE_CHECKING:
    from rl.envs.base import EnvBase

__all__ = ["Policy", "as_policy", "bound", "check_policy_reads"]

Policy = Callable[[TensorDictBase], TensorDictBase]


def as_policy(env: EnvBase, policy: Any, *, trust_policy: bool = False) -> Policy:  # noqa: ANN401
    """Return a function from root to root that writes the env's actions.

    Args:
        env: the env to act in.
        policy: None for random actions; a TensorDict module or a function on TensorDicts, used as
            it is; or an `nn.Module` on tensors, which reads the observation keys and writes the
            action keys.
        trust_policy: use `policy` as it is, whatever it looks like.
    """
    if policy is None:
        return env.rand_action
    if (
        trust_policy
        or isinstance(policy, TensorDictModuleBase)
        or not isinstance(policy, nn.Module)
    ):
        return policy
    return ensure_tensordict_compatible(
        policy, in_keys=env.observation_keys, out_keys=env.action_keys
    )


def bound(policy: Policy) -> Policy:
    """Return what acts as `policy` does now, for a loop that leaves its settings as they are."""
    ours = isinstance(policy, SafeProbabilisticTensorDictSequential)
    return policy.bind() if ours else policy


def check_policy_reads(env: EnvBase, policy: Policy, tensordict: TensorDictBase) -> None:
    """Raise when the first root lacks a key that the policy declares to read.

    Raises:
        MissingKeyError: names the key, the policy and the env.
    """
    if not isinstance(policy, TensorDictModuleBase):
        return
    for key in policy.in_keys:
        if tensordict.get(key, None) is None:
            present = [str(k) for k in tensordict.keys(True, True)]
            raise MissingKeyError(
                f"The policy {type(policy).__name__} reads `{key}`, which "
                f"{type(env).__name__} does not "
                f"write (keys: {present}). {nearest(str(key), present)} Change the "
                "module's `in_keys`, or "
                "add the transform that writes the key (`TensorDictPrimer` for a hidden state)."
            )
