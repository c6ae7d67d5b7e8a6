"""The networks of a loss: its parameters, ensembles and delayed copies, and how they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase, TensorDictParams
from torch import Tensor, nn

from rl.objectives.losses.networks import (
    ensemble_parameters,
    network_parameters,
    reset_parameters,
    target_parameters,
)
from rl.objectives.stateless import StatelessNetwork, flat_parameters

__all__ = ["NetworkHolder"]

# Above this many networks one vmapped call beats a loop over their parameters.
_LOOP_UP_TO = 2


class NetworkHolder(TensorDictModuleBase):
    """A module that holds networks of which it is not the owner: the first half of `LossModule`."""

    def __init__(self) -> None:
        super().__init__()
        self.vmap_randomness = "different"
        self.deactivate_vmap = False
        self._network_names: list[str] = []
        self._ensembles: dict[str, int] = {}
        self._delayed: list[str] = []
        # parameters of an ensemble that belong to a network taken in before it
        self._shared: dict[str, dict[str, nn.Parameter]] = {}
        self._flat: dict[str, dict[str, Tensor]] = {}
        self._stateless: dict[str, StatelessNetwork] = {}

    def convert_to_functional(
        self,
        module: nn.Module | Sequence[nn.Module],
        module_name: str,
        expand_dim: int | None = None,
        create_target_params: bool = False,
        *,
        functional: bool = True,
    ) -> None:
        """Take in a network.

        Args:
            module: a TensorDict module, or as many as `expand_dim` for an ensemble.
            module_name: the attribute that will hold it, as `"value_network"`.
            expand_dim: size of the ensemble; its parameters are drawn anew unless `module` is
                a list. `None` keeps the network's own parameters.
            create_target_params: whether a delayed copy is kept for an updater to move.
            functional: `False` registers the network as an ordinary submodule, without
                `<name>_params`.
        """
        template = module if isinstance(module, nn.Module) else module[0]
        self.__dict__[module_name] = template
        self._network_names.append(module_name)
        if not functional:
            self._modules[module_name] = template
            return
        if expand_dim is None:
            params = network_parameters(template)
        else:
            owned = {id(p): p for p in self.parameters()}
            shared = {n: p for n, p in template.named_parameters() if id(p) in owned}
            params = ensemble_parameters(module, expand_dim, shared)
            self._ensembles[module_name], self._shared[module_name] = expand_dim, shared
        setattr(self, f"{module_name}_params", params)
        if create_target_params:
            setattr(self, f"target_{module_name}_params", target_parameters(params))
            self._delayed.append(module_name)

    def get_stateful_net(self, network_name: str, copy: bool | None = None) -> nn.Module:
        """Return a network of the loss; `copy=True` gives one with parameters of its own.

        Raises:
            ValueError: for an ensemble, which has no single network.
        """
        if network_name in self._ensembles:
            raise ValueError(
                f"`{network_name}` is an ensemble of {self._ensembles[network_name]} networks: "
                f"index `{network_name}_params` and load the result into a network."
            )
        network = getattr(self, network_name)
        if not copy:
            return network
        clone = deepcopy(network)
        self._params(network_name).data.clone().to_module(clone)
        return clone

    def from_stateful_net(self, network_name: str, stateful_net: nn.Module) -> None:
        """Copy the parameters of `stateful_net` into a network of the loss."""
        self._params(network_name).data.update_(TensorDict.from_module(stateful_net).data)

    def reset_parameters_recursive(self) -> None:
        """Draw the parameters of every network anew, targets included."""
        for name in self._network_names:
            network, params = getattr(self, name), self._params(name)
            if name in self._ensembles:
                fresh = ensemble_parameters(network, self._ensembles[name], self._shared[name])
                params.data.update_(fresh.data)
            else:
                reset_parameters(network)
            if name in self._delayed:
                getattr(self, f"target_{name}_params").data.update_(params.data)

    def set_vmap_randomness(self, value: str) -> None:
        """Choose how random numbers differ in an ensemble: `"different"`, `"same"`, `"error"`."""
        self.vmap_randomness = value

    @property
    def has_target_params(self) -> bool:
        """Whether some network has a delayed copy, which only an updater moves."""
        return bool(self._delayed)

    def _params(self, name: str) -> TensorDictParams:
        return self._modules[f"{name}_params"]

    def _flat_params(
        self, name: str, *, target: bool, detach: bool, hold_shared: bool = False
    ) -> dict[str, Tensor]:
        """Return the parameters of a network by name.

        Args:
            name: the network.
            target: the delayed ones, where there are.
            detach: hold them out of the graph.
            hold_shared: hold those out that an ensemble shares with another network.
        """
        key = f"target_{name}_params" if target and name in self._delayed else f"{name}_params"
        flat = self._flat.get(key)
        if flat is None:
            params = self._modules.get(key)
            network = self.__dict__[name]
            flat = flat_parameters(TensorDict.from_module(network) if params is None else params)
            self._flat[key] = flat
        if detach or (target and name not in self._delayed):
            flat = {k: v.detach() for k, v in flat.items()}
        if shared := self._shared.get(name):
            size, hold = self._ensembles[name], detach or target or hold_shared
            shared = {k: (v.detach() if hold else v) for k, v in shared.items()}
            flat = flat | {k: v.expand(size, *v.shape) for k, v in shared.items()}
        return flat

    def _call(
        self,
        name: str,
        data: TensorDictBase,
        *,
        target: bool = False,
        detach: bool = False,
        apart_from: str | None = None,
    ) -> TensorDictBase:
        """Call a network on `data`, into which it writes.

        Args:
            name: the network.
            data: its inputs, ours to write to.
            target: with the delayed parameters.
            detach: with the parameters held out of the graph.
            apart_from: with the parameters that it shares with this network held out.
        """
        network = self.__dict__[name]
        if not target and not detach and apart_from is None:
            return network(data)
        params = self._flat_params(name, target=target, detach=detach)
        if apart_from is not None:
            other = self._flat_params(apart_from, target=False, detach=False)
            shared = {id(p) for p in other.values()}
            params = {k: p.detach() if id(p) in shared else p for k, p in params.items()}
        return self._call_with(name, params, data)

    def _call_with(
        self, name: str, params: dict[str, Tensor], data: TensorDictBase
    ) -> TensorDictBase:
        if torch.compiler.is_compiling():  # walking the network is free there, and has no break
            return torch.func.functional_call(self.__dict__[name], params, (data,))
        twin = self._stateless.get(name)
        if twin is None:
            twin = self._stateless[name] = StatelessNetwork(self.__dict__[name], params)
        return twin(params, data)

    def _call_ensemble(
        self,
        name: str,
        data: TensorDictBase,
        key: NestedKey,
        *,
        target: bool = False,
        detach: bool = False,
        hold_shared: bool = False,
    ) -> Tensor:
        """Return entry `key` of each network's output, stacked: `[N, *B, ...]`.

        Args:
            name: the ensemble.
            data: the input of every network.
            key: the entry.
            target: with the delayed parameters.
            detach: with the parameters held out of the graph.
            hold_shared: with those held out that belong to another network too.
        """
        params = self._flat_params(name, target=target, detach=detach, hold_shared=hold_shared)
        size = self._ensembles[name]
        if size > _LOOP_UP_TO and not self.deactivate_vmap:
            return self._vmapped(self.__dict__[name], params, data, key)
        members = zip(*(leaf.unbind(0) for leaf in params.values()), strict=True)
        outputs = [
            self._call_with(name, dict(zip(params, leaves, strict=True)), data.copy())
            for leaves in members
        ]
        return torch.stack([output.get(key) for output in outputs])

    def _vmapped(
        self, network: nn.Module, params: dict[str, Tensor], data: TensorDictBase, key: NestedKey
    ) -> Tensor:
        def one(member: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(network, member, (data.copy(),)).get(key)

        return torch.vmap(one, randomness=self.vmap_randomness)(params)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("target_") and name.endswith("_params"):
            modules = self.__dict__.get("_modules", {})
            if name not in modules and name[len("target_") :] in modules:
                return modules[name[len("target_") :]].data
        return super().__getattr__(name)

    def _apply(self, fn: Callable, recurse: bool = True) -> NetworkHolder:
        super()._apply(fn, recurse)
        # parameters keep their identity; buffers are replaced, so the networks get the new ones
        for name in self._network_names:
            if name not in self._ensembles and name not in self._modules:
                _share_buffers(self.__dict__[name], self._params(name))
        self._flat.clear()
        return self

    def __getstate__(self) -> dict[str, Any]:
        # twins hold tensors of the last graph, which cannot be copied; they are made when needed
        return {**self.__dict__, "_flat": {}, "_stateless": {}}


def _share_buffers(network: nn.Module, params: TensorDictParams) -> None:
    for name, leaf in flat_parameters(params).items():
        if not isinstance(leaf, nn.Parameter):
            owner, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(owner), attribute, leaf)
