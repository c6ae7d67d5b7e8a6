"""Entries that a policy hands to itself at the next step."""

from __future__ import annotations

from tensordict.nn import TensorDictModuleBase

from rl.core.contract.keys import NestedKey

__all__ = ["carried_keys"]


def carried_keys(policy: TensorDictModuleBase) -> set[NestedKey]:
    """Return the entries that `policy` writes and, where they are there, reads at the next step.

    A module lists them in its attribute `carried_keys`; they are not among its `in_keys`, since at
    the first step they are absent. What moves data from step to step keeps them.

    Example:
        >>> from rl.core.modules import OrnsteinUhlenbeckProcessModule
        >>> sorted(carried_keys(OrnsteinUhlenbeckProcessModule()))
        ['_ou_prev_noise', '_ou_steps']
    """
    return {key for module in policy.modules() for key in getattr(module, "carried_keys", ())}
