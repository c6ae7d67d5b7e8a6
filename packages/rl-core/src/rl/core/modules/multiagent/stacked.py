"""Networks of one architecture, held as stacked parameters and called at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import UninitializedBuffer, UninitializedParameter
from torch.nn.parameter import is_lazy

from rl.core.errors import RLError, ShapeError
from rl.core.modules.multiagent.batched_perceptron import BatchedPerceptron, plan_perceptron

__all__ = ["StackedNetworks", "reset_layers"]


class StackedNetworks(nn.Module):
    """The parameters of N networks, each stacked along a new first dimension.

    Parameters and buffers have the names that one network gives them. The call is mapped over the
    networks by `torch.vmap`, or is one batched product per layer for perceptrons, so its cost grows
    with the arithmetic, not with N calls.

    Args:
        networks: networks of one architecture. Lazy ones get their sizes at the first call.
        randomness: how random numbers differ between networks: `"different"`, `"same"`, `"error"`.

    Raises:
        RLError: at `state_dict`, the sizes are not known yet.

    Example:
        >>> nets = StackedNetworks([nn.Linear(3, 2) for _ in range(4)])
        >>> nets.weight.shape, nets(torch.zeros(4, 5, 3), 0, 0).shape
        (torch.Size([4, 2, 3]), torch.Size([4, 5, 2]))
    """

    def __init__(self, networks: Sequence[nn.Module], randomness: str = "different") -> None:
        super().__init__()
        self.randomness = randomness
        # (name, module that holds the tensor, its attribute), for a call without a walk
        self._places: list[tuple[str, nn.Module, str]] = []
        # one network without data; and the lazy ones, until they know their sizes. Lists keep
        # both out of the registered modules.
        self._template: list[nn.Module] = []
        self._pending: list[nn.Module] = []
        self._perceptron: BatchedPerceptron | None = None
        members = [_tensors(network) for network in networks]
        for name, leaf in members[0].items():
            self._insert(name, _stack([member[name] for member in members], leaf))
        if any(is_lazy(leaf) for leaf in members[0].values()):
            self._pending = list(networks)
        else:
            self._settle(networks[0])

    def _insert(self, name: str, leaf: nn.Parameter | Tensor) -> None:
        *path, attribute = name.split(".")
        node: nn.Module = self
        for step in path:
            if step not in node._modules:
                node.add_module(step, _Level())
            node = node._modules[step]
        if isinstance(leaf, nn.Parameter):
            node.register_parameter(attribute, leaf)
        else:
            node.register_buffer(attribute, leaf)
        self._places.append((name, node, attribute))

    def _settle(self, network: nn.Module) -> None:
        self._template = [copy.deepcopy(network).to("meta")]
        self._perceptron = plan_perceptron(self._template[0])

    def forward(self, x: Tensor, in_dim: int | None, out_dim: int) -> Tensor:
        """Return the outputs of all networks, stacked along `out_dim`.

        Args:
            x: the inputs.
            in_dim: the dimension of `x` with the input of each network; None gives all of them
                the whole of `x`.
            out_dim: the dimension of the result along which the outputs lie.
        """
        if self._pending:
            self._materialise(x, in_dim)
        tensors = {name: getattr(node, attribute) for name, node, attribute in self._places}
        if self._perceptron is not None:
            return self._perceptron(tensors, x, in_dim, out_dim)

        (template,) = self._template
        if template.training is not self.training:
            template.train(self.training)

        def one(member: dict[str, Tensor], inputs: Tensor) -> Tensor:
            return torch.func.functional_call(template, member, (inputs,))

        mapped = torch.vmap(one, (0, in_dim), out_dim, randomness=self.randomness)
        return mapped(tensors, x)

    @torch.no_grad()
    def _materialise(self, x: Tensor, in_dim: int | None) -> None:
        """Give lazy parameters the sizes that `x` asks for and the values of each network."""
        networks = [net.to(x.device).train(self.training) for net in self._pending]
        inputs = [x] * len(networks) if in_dim is None else x.unbind(in_dim)
        for network, given in zip(networks, inputs, strict=True):
            network(given)
        members = [_tensors(network) for network in networks]
        for name, node, attribute in self._places:
            leaf = getattr(node, attribute)
            if is_lazy(leaf):
                stacked = torch.stack([member[name] for member in members])
                leaf.materialize(stacked.shape)
                leaf.copy_(stacked)
        self._settle(networks[0])
        self._pending = []

    def unstack(self) -> nn.ModuleList:
        """Return the networks one by one, with copies of their parameters.

        Raises:
            RLError: the sizes are not known yet.
        """
        if self._pending:
            raise _lazy_error()
        (template,) = self._template
        places = [(name, getattr(node, attr)) for name, node, attr in self._places]
        size = places[0][1].shape[0] if places else 0
        networks = [copy.deepcopy(template) for _ in range(size)]
        for index, network in enumerate(networks):
            for name, stacked in places:
                _put(network, name, stacked[index].detach().clone(), stacked.requires_grad)
        return nn.ModuleList(networks).train(self.training)

    @torch.no_grad()
    def restack(self, networks: Sequence[nn.Module], *, buffers_only: bool = False) -> None:
        """Take over the parameters and buffers of `networks`.

        Args:
            networks: one per member.
            buffers_only: leave the parameters as they are.

        Raises:
            RLError: the sizes are not known yet.
            ShapeError: there are more or fewer networks.
        """
        if self._pending:
            raise _lazy_error()
        members = [_tensors(network) for network in networks]
        for name, node, attribute in self._places:
            leaf = getattr(node, attribute)
            if len(members) != leaf.shape[0]:
                raise ShapeError(
                    f"{len(members)} networks were given for {leaf.shape[0]} agents: give one "
                    "network per agent, as `get_stateful_net()` returns them."
                )
            if not (buffers_only and isinstance(leaf, nn.Parameter)):
                leaf.copy_(torch.stack([member[name] for member in members]))

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        if any(is_lazy(getattr(node, attribute)) for _, node, attribute in self._places):
            raise _lazy_error()
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        for name, node, attribute in self._places:
            leaf, stored = getattr(node, attribute), state_dict.get(prefix + name)
            if is_lazy(leaf) and stored is not None:
                leaf.materialize(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


class _Level(nn.Module):
    """Tensors of one submodule."""


def reset_layers(network: nn.Module) -> None:
    """Draw the parameters of every layer of `network` anew."""
    for layer in network.modules():
        reset = getattr(layer, "reset_parameters", None)
        if reset is not None:
            reset()


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _stack(members: Sequence[Tensor], first: Tensor) -> Tensor:
    if isinstance(first, UninitializedParameter):
        return UninitializedParameter(
            first.requires_grad, device=first.device, dtype=first.data.dtype
        )
    if isinstance(first, UninitializedBuffer):
        return UninitializedBuffer(device=first.device, dtype=first.data.dtype)
    stacked = torch.stack([member.detach() for member in members])
    is_parameter = isinstance(first, nn.Parameter)
    return nn.Parameter(stacked, first.requires_grad) if is_parameter else stacked


def _put(network: nn.Module, name: str, value: Tensor, requires_grad: bool) -> None:
    owner, _, attribute = name.rpartition(".")
    module = network.get_submodule(owner)
    if attribute in module._parameters:
        module._parameters[attribute] = nn.Parameter(value, requires_grad)
    else:
        module._buffers[attribute] = value


def _lazy_error() -> RLError:
    return RLError(
        "The sizes of this network's parameters are not known yet: call it once on data, or give "
        "its input size at construction (`n_agent_inputs=`, `in_features=`)."
    )
