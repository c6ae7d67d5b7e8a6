"""Critics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tensordict.nn import TensorDictModule

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.modules.actors.safe_module import SafeModule

__all__ = ["ValueOperator"]


class ValueOperator(SafeModule):
    """A critic: the value of a state, or of a state and an action.

    Args:
        module: a callable from the entries at `in_keys` to `[*B, 1]` values.
        in_keys: entries it reads; default `["observation"]`.
        out_keys: where the value goes; default `["state_action_value"]` when `"action"` is read,
            else `["state_value"]`.

    Reads:
        observation: `[*B, *O]`.
    Writes:
        state_value or state_action_value: `[*B, 1]`.

    Example:
        >>> import torch
        >>> ValueOperator(torch.nn.Linear(3, 1)).out_keys
        ['state_value']
        >>> ValueOperator(torch.nn.Bilinear(3, 2, 1), ["observation", "action"]).out_keys
        ['state_action_value']
    """

    def __init__(
        self,
        module: Callable | TensorDictModule,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        in_keys = ["observation"] if in_keys is None else as_key_list(in_keys)
        if out_keys is None:
            out_keys = ["state_action_value" if "action" in in_keys else "state_value"]
        super().__init__(module, in_keys, out_keys)
