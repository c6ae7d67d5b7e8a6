"""Reading a field of a TensorDict whose rows may differ in length."""

from __future__ import annotations

from tensordict import LazyStackedTensorDict, TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.llm.policies.padding import pad_rows

__all__ = ["is_ragged", "read_padded", "read_rows"]


def is_ragged(tensordict: TensorDictBase, key: NestedKey) -> bool:
    """Tell whether the rows of `key` may differ in length: it is nested, or in a lazy stack.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict, lazy_stack
        >>> rows = lazy_stack([TensorDict(x=torch.zeros(n)) for n in (1, 2)])
        >>> is_ragged(rows, "x"), is_ragged(TensorDict(x=torch.zeros(2, 1)), "x")
        (True, False)
    """
    value = None if _is_lazy(tensordict, key) else tensordict.get(key, None)
    return _is_lazy(tensordict, key) or (isinstance(value, Tensor) and value.is_nested)


def _is_lazy(tensordict: TensorDictBase, key: NestedKey) -> bool:
    group = tensordict if isinstance(key, str) else tensordict.get(key[:-1], None)
    # a tensorclass keeps its data in this attribute
    return isinstance(getattr(group, "_tensordict", group), LazyStackedTensorDict)


def read_rows(tensordict: TensorDictBase, key: NestedKey) -> list[Tensor] | None:
    """Return the rows of a ragged field; None when it is not there.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict, lazy_stack
        >>> read_rows(lazy_stack([TensorDict(x=torch.zeros(n)) for n in (1, 2)]), "x")
        [tensor([0.]), tensor([0., 0.])]
    """
    if _is_lazy(tensordict, key):
        return tensordict.get(key, as_list=True)
    return list(tensordict.get(key).unbind())


def read_padded(tensordict: TensorDictBase, key: NestedKey, fill: float = 0.0) -> Tensor | None:
    """Return `key` as `[B, L]`, ragged rows padded on the right; None when it is not there.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict, lazy_stack
        >>> read_padded(lazy_stack([TensorDict(x=torch.ones(n)) for n in (1, 2)]), "x")
        tensor([[1., 0.],
                [1., 1.]])
    """
    if is_ragged(tensordict, key):
        rows = read_rows(tensordict, key)
        return None if rows is None else pad_rows(rows, fill, "right")
    return tensordict.get(key, None)
