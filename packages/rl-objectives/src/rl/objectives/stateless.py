"""Calls of a network with parameters that are not its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from torch import Tensor, nn

__all__ = ["call_with", "flat_parameters", "inputs_of"]


def flat_parameters(params: TensorDictBase) -> dict[str, Tensor]:
    """Return the leaves of a parameter TensorDict under the names that the network gives them."""
    return {
        key if isinstance(key, str) else ".".join(key): leaf
        for key, leaf in params.items(include_nested=True, leaves_only=True)
    }


def call_with(
    network: nn.Module, params: Mapping[str, Tensor] | TensorDictBase | None, data: TensorDictBase
) -> TensorDictBase:
    """Call a TensorDict module on `data`, with `params` in place of its own where given."""
    if params is None:
        return network(data)
    if isinstance(params, TensorDictBase) or not isinstance(params, dict):
        params = flat_parameters(params)
    return torch.func.functional_call(network, params, (data,))


def inputs_of(data: TensorDictBase, in_keys: Iterable[NestedKey]) -> TensorDict:
    """Return a fresh TensorDict with the entries `in_keys` that `data` has.

    A network writes its outputs into its input: the user's batch stays as it is.
    """
    return data.select(*in_keys, strict=False)
