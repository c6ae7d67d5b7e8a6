"""Entries that a policy hands to itself at the next step."""

from __future__ import annotations

from collections.abc import Iterable

from tensordict.nn import TensorDictModuleBase
from torch import nn

from rl.core.contract.keys import NestedKey

__all__ = ["carried_keys"]

#: the packages whose modules read what they declare
_DECLARING = ("rl", "tensordict")


def carried_keys(policy: TensorDictModuleBase) -> set[NestedKey]:
    """Return the entries that `policy` writes and, where they are there, may read at the next step.

    A module lists them in its attribute `carried_keys`; they are not among its `in_keys`, since at
    the first step they are absent. A module whose `forward` comes from elsewhere and that lists
    nothing may read all that it writes. What moves data from step to step keeps them.

    Example:
        >>> from rl.core.modules import OrnsteinUhlenbeckProcessModule
        >>> sorted(carried_keys(OrnsteinUhlenbeckProcessModule()))
        ['_ou_prev_noise', '_ou_steps']
    """
    return {key for module in policy.modules() for key in _carried_by(module)}


def _carried_by(module: nn.Module) -> Iterable[NestedKey]:
    declared = getattr(module, "carried_keys", None)
    if declared is not None:
        return declared
    if not isinstance(module, TensorDictModuleBase):
        return ()
    origin = type(module).forward.__module__.partition(".")[0]
    return () if origin in _DECLARING else module.out_keys
