"""Calls of a network with parameters that are not its own."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from torch import Tensor, nn

__all__ = ["StatelessNetwork", "call_with", "flat_parameters", "inputs_of"]


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
    if not isinstance(params, dict):
        params = flat_parameters(params)
    return torch.func.functional_call(network, params, (data,))


def inputs_of(data: TensorDictBase, in_keys: Iterable[NestedKey]) -> TensorDict:
    """Return a fresh TensorDict with the entries `in_keys` that `data` has.

    A network writes its outputs into its input: the user's batch stays as it is.
    """
    return data.select(*in_keys, strict=False)


class StatelessNetwork:
    """A network to call with tensors that change at each call.

    `torch.func.functional_call` walks the whole network at each call, which for small networks
    costs as much as the network. Here a copy without parameters gets the tensors as plain
    attributes, at places that are found once.

    Args:
        network: the network. The copy follows its `training` flags.
        names: of the parameters and buffers that every call gives.

    Example:
        >>> from tensordict.nn import TensorDictModule
        >>> net = TensorDictModule(nn.Linear(1, 1, bias=False), ["x"], ["y"])
        >>> stateless = StatelessNetwork(net, ["module.weight"])
        >>> data = TensorDict({"x": torch.ones(2, 1)}, [2])
        >>> stateless({"module.weight": torch.full((1, 1), 3.0)}, data)["y"].flatten().tolist()
        [3.0, 3.0]
    """

    def __init__(self, network: nn.Module, names: Iterable[str]) -> None:
        # gradients and hooks on parameters stay behind: only the structure is copied
        memo = {id(t): t for t in [*network.parameters(), *network.buffers()]}
        self._copy = copy.deepcopy(network, memo)
        self._places = []
        for name in names:
            owner, _, attribute = name.rpartition(".")
            module = self._copy.get_submodule(owner)
            delattr(module, attribute)
            self._places.append((name, module, attribute))
        self._modules = list(zip(network.modules(), self._copy.modules(), strict=True))

    def __call__(self, tensors: Mapping[str, Tensor], data: TensorDictBase) -> TensorDictBase:
        """Call the network on `data`, into which it writes, with `tensors` as its parameters."""
        for name, module, attribute in self._places:
            setattr(module, attribute, tensors[name])
        for original, twin in self._modules:
            if twin.training is not original.training:
                twin.training = original.training
        return self._copy(data)
