"""Any callable as a TensorDict module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from tensordict.nn import TensorDictModule, TensorDictModuleBase
from torch import nn

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import RLError

__all__ = ["ensure_tensordict_compatible", "is_tensordict_compatible"]


def is_tensordict_compatible(module: object) -> bool:
    """Tell whether `module` reads and writes a TensorDict.

    Example:
        >>> is_tensordict_compatible(nn.Linear(2, 3))
        False
    """
    return isinstance(module, TensorDictModuleBase) or (
        hasattr(module, "in_keys") and hasattr(module, "out_keys")
    )


def ensure_tensordict_compatible(
    module: Callable | nn.Module,
    in_keys: Sequence[NestedKey] | None = None,
    out_keys: Sequence[NestedKey] | None = None,
    wrapper_type: type[TensorDictModule] = TensorDictModule,
) -> TensorDictModuleBase:
    """Return `module`, wrapped with keys when it takes tensors.

    Args:
        module: a TensorDict module, or a callable of tensors.
        in_keys: the entries passed to the callable, in order; default `["observation"]`.
        out_keys: the entries that its outputs become; default `["action"]`.
        wrapper_type: the class of the wrapper.

    Raises:
        RLError: when a TensorDict module has other keys, or the callable takes fewer inputs.

    Example:
        >>> ensure_tensordict_compatible(nn.Linear(2, 3), ["obs"], ["logits"]).in_keys
        ['obs']
    """
    if is_tensordict_compatible(module):
        for name, wanted in (("in_keys", in_keys), ("out_keys", out_keys)):
            found = list(getattr(module, name))
            if wanted is not None and set(as_key_list(wanted)) != set(as_key_list(found)):
                raise RLError(
                    f"`{type(module).__name__}` has {name} {found}, the call asked for "
                    f"{as_key_list(wanted)}: leave `{name}` out, or build the module with them."
                )
        return module
    in_keys = as_key_list(in_keys) or ["observation"]
    _check_arity(module, in_keys)
    return wrapper_type(module, in_keys=in_keys, out_keys=as_key_list(out_keys) or ["action"])


def _check_arity(module: Callable | nn.Module, in_keys: list[NestedKey]) -> None:
    call = module.forward if isinstance(module, nn.Module) else module
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # builtins have no signature
        return
    try:
        signature.bind(*in_keys)
    except TypeError as error:
        raise RLError(
            f"`{type(module).__name__}` cannot be called with the {len(in_keys)} inputs "
            f"{in_keys}: {error}. Give one key of `in_keys` per input of `forward`."
        ) from error
