"""The memory layout of what recurrent kernels read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, nearest

__all__ = ["canonicalize_rnn_subset", "contiguous"]


class _Reader(Protocol):
    """A recurrent module."""

    canonical_keys: list[NestedKey]


def canonicalize_rnn_subset(
    data: TensorDictBase, modules: Iterable[_Reader], *, inplace: bool = False
) -> TensorDictBase:
    """Return `data` with what `modules` read laid out without gaps; the rest stays as it is.

    Kernels copy strided inputs at every call: a batch that is read in several epochs is laid out
    once.

    Args:
        data: any TensorDict.
        modules: `LSTMModule`s and `GRUModule`s.
        inplace: change `data` itself.

    Raises:
        MissingKeyError: the input of a module is not in `data`.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from rl.core.modules import GRUModule
        >>> gru = GRUModule(3, 4, in_key="observation", out_key="features")
        >>> data = TensorDict(observation=torch.zeros(5, 2, 3).transpose(0, 1), batch_size=[2, 5])
        >>> canonicalize_rnn_subset(data, [gru])["observation"].is_contiguous()
        True
    """
    keys: list[NestedKey] = []
    for module in modules:
        _check_source(data, module.canonical_keys[0])
        keys.extend(module.canonical_keys)
    return contiguous(data, keys, inplace=inplace)


def contiguous(data: TensorDictBase, keys: Iterable[NestedKey], *, inplace: bool) -> TensorDictBase:
    """Return `data` with the entries `keys` that it has laid out without gaps."""
    result = data if inplace else data.copy()
    for key in dict.fromkeys(keys):
        value = result.get(key, None)
        if value is not None and not value.is_contiguous():
            result.set(key, value.contiguous())
    return result


def _check_source(data: TensorDictBase, key: NestedKey) -> None:
    if key not in data.keys(True):
        present = [str(other) for other in data.keys(True, True)]
        raise MissingKeyError(
            f"`{key}` is the input of a module and is not in the data (keys: {present}). "
            f"{nearest(str(key), present)}"
        )
