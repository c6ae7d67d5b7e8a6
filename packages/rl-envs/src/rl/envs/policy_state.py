"""The state of a recurrent policy: the env is given what the policy declares, and lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensordict import NestedKey
from torch import nn

from rl.core.errors import MissingKeyError
from rl.core.modules.recurrent.primers import declared_primers, init_keys
from rl.core.transform import Compose, Transform
from rl.envs.transforms import InitTracker

if TYPE_CHECKING:
    from rl.envs.base import EnvBase

__all__ = ["with_policy_state"]


def with_policy_state(env: EnvBase, policy: Any) -> EnvBase:  # noqa: ANN401
    """Return `env` with the transforms that write the state `policy` declares, if it lacks them.

    A module declares its state by a method `make_tensordict_primer`, and the flag of first steps
    that it reads by an attribute `init_key`, as `LSTMModule` and `GRUModule` do. The env given
    stays as it is: it is seen through new transforms, and what its own transforms learn stays with
    it. An env that has the entries already is returned itself.

    Args:
        env: the env.
        policy: what acts; anything but a module declares nothing.

    Raises:
        SpecError: two modules keep their state under one key.
        MissingKeyError: the env has no done flag beside which the module's flag would be.
    """
    if not isinstance(policy, nn.Module):
        return env
    known = {*env.observation_keys, *env.state_keys}
    primers = [p for p in declared_primers(policy) if not known.issuperset(p.out_keys)]
    flags = [key for key in init_keys(policy) if key not in known]
    trackers = [InitTracker(leaf) for leaf in dict.fromkeys(map(_leaf, flags))]
    added: list[Transform] = [*trackers, *primers]
    if not added:
        return env
    wired = env.with_transform(Compose(*added))
    _check_flags(wired, policy, flags)
    return wired


def _leaf(key: NestedKey) -> str:
    return key if isinstance(key, str) else key[-1]


def _check_flags(env: EnvBase, policy: nn.Module, flags: list[NestedKey]) -> None:
    for key in flags:
        if key not in env.observation_keys:
            raise MissingKeyError(
                f"The policy {type(policy).__name__} reads where trajectories start at `{key}`, "
                f"and the env has its done flags at {env.done_keys}: `InitTracker` writes the "
                "flag beside them. Name that key in the module's `in_keys`."
            )
