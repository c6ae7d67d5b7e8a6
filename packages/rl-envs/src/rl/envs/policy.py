"""What may serve as a policy, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tensordict import NestedKey, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import nn

from rl.core.contract import in_next
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


def check_policy_reads(
    env: EnvBase, policy: Policy, tensordict: TensorDictBase | None = None
) -> None:
    """Raise when a key that the policy declares to read is absent.

    Args:
        env: the env that the policy acts in.
        policy: what acts; only TensorDict modules declare what they read.
        tensordict: the first root; by default, what the env's specs promise of it.

    Raises:
        MissingKeyError: names the key, the policy and the env.
    """
    if not isinstance(policy, TensorDictModuleBase):
        return
    if tensordict is None:
        present = {*env.observation_keys, *env.state_keys, *env.done_keys}
        absent = [key for key in policy.in_keys if not _promised(key, present)]
    else:
        present = set(tensordict.keys(True, True))
        absent = [key for key in policy.in_keys if tensordict.get(key, None) is None]
    if absent:
        raise _absent(env, policy, absent[0], [str(key) for key in present])


def _promised(key: NestedKey, present: set[NestedKey]) -> bool:
    """Tell whether `key` is one of the leaves, or a group of some."""
    path = (key,) if isinstance(key, str) else key
    return key in present or any(
        isinstance(leaf, tuple) and leaf[: len(path)] == path for leaf in present
    )


def _absent(
    env: EnvBase, policy: TensorDictModuleBase, key: NestedKey, present: list[str]
) -> MissingKeyError:
    if in_next(key) in policy.out_keys:
        fix = (
            f"It is a state: the policy writes `{in_next(key)}`, and nothing writes its first "
            f"value. Append `TensorDictPrimer({{{key!r}: spec}})` to the env, or give the module a "
            "method `make_tensordict_primer` that returns one."
        )
    else:
        fix = (
            f"{nearest(str(key), present)} Change the module's `in_keys`, or add the transform "
            "that writes the key (`TensorDictPrimer` for a hidden state)."
        )
    return MissingKeyError(
        f"The policy {type(policy).__name__} reads `{key}`, which {type(env).__name__} does not "
        f"write (keys: {sorted(present)}). {fix}"
    )
