"""The TensorDict contract: keys, `step_mdp`, done flags and the contract's version."""

from rl.core.contract.done import (
    DONE_NAMES,
    DoneGroup,
    any_done,
    complete_done,
    done_groups,
    terminated_or_truncated,
)
from rl.core.contract.keys import NestedKey, as_key_list, in_next, sibling, unravel_key
from rl.core.contract.step import StepPlan, step_mdp
from rl.core.contract.version import VERSION, require_contract

__all__ = [
    "DONE_NAMES",
    "VERSION",
    "DoneGroup",
    "NestedKey",
    "StepPlan",
    "any_done",
    "as_key_list",
    "complete_done",
    "done_groups",
    "in_next",
    "require_contract",
    "sibling",
    "step_mdp",
    "terminated_or_truncated",
    "unravel_key",
]
