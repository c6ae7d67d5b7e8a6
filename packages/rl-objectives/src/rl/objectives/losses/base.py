"""The base of every loss: networks and their parameters, names, estimator, modes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, unravel_key
from tensordict.nn import (
    InteractionType,
    TensorDictModuleBase,
    TensorDictParams,
    set_interaction_type,
)
from torch import Tensor, nn

from rl.core.contract.keys import in_next
from rl.core.errors import MissingKeyError, nearest
from rl.objectives.keys import key_names, renamed_keys
from rl.objectives.losses.networks import (
    ensemble_parameters,
    network_parameters,
    reset_parameters,
    target_parameters,
)
from rl.objectives.losses.reduction import AUTO_LOSS_MASK_KEYS, check_reduction, reduce_loss
from rl.objectives.stateless import StatelessNetwork, flat_parameters
from rl.objectives.value.base import ValueEstimatorBase
from rl.objectives.value.registry import (
    ValueEstimators,
    default_value_kwargs,
    get_value_estimator_entry,
)

__all__ = ["LossModule"]

# Above this many networks one vmapped call beats a loop over their parameters.
_LOOP_UP_TO = 2


class LossModule(TensorDictModuleBase):
    """Base of losses.

    A loss reads a batch and returns a TensorDict without batch dimensions, whose entries that
    start with `loss` are to be summed and minimised; the others are detached metrics.

    The networks stay the user's: `loss.<name>` is the network that was given and
    `loss.<name>_params` holds its very parameters, so a step of an optimizer over
    `loss.parameters()` moves the network. A network with a delayed copy has
    `loss.target_<name>_params`, buffers that an updater moves; without one that attribute is the
    detached parameters. An ensemble has its parameters stacked, `[N, ...]`, drawn anew.

    Subclasses call `convert_to_functional` for each network and write `forward`. `forward`, like
    every `*_loss` method of this library, runs with `set_exploration_type` at
    `deterministic_sampling_mode`.

    Args:
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        loss_mask_key: key of a bool mask `[*B]` of the steps that count; `"auto"` takes
            `("collector", "mask")` and `"shifted_valid"` where present; `None` takes none.
        use_prioritized_weights: whether `priority_weight` weighs the loss; `"auto"` does so
            where the batch has it.

    Example:
        >>> from tensordict.nn import TensorDictModule
        >>> class ValueLoss(LossModule):
        ...     def __init__(self, value_network):
        ...         super().__init__()
        ...         self.convert_to_functional(value_network, "value_network")
        ...     def forward(self, tensordict):
        ...         value = self.value_network(tensordict)["state_value"]
        ...         return TensorDict({"loss": (value - tensordict["target"]).square().mean()})
        >>> net = TensorDictModule(nn.Linear(1, 1), ["obs"], ["state_value"])
        >>> loss = ValueLoss(net)
        >>> loss.value_network_params["module", "weight"] is net.module.weight
        True
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        reward: NestedKey = "reward"
        done: NestedKey = "done"
        terminated: NestedKey = "terminated"

    default_value_estimator: ValueEstimators | str | None = None
    deterministic_sampling_mode = InteractionType.DETERMINISTIC

    # names of keys that the estimator shares with the loss
    _estimator_keys: tuple[str, ...] = (
        "advantage",
        "value_target",
        "value",
        "reward",
        "done",
        "terminated",
        "sample_log_prob",
    )

    def __init__(
        self,
        *,
        reduction: str | None = None,
        loss_mask_key: NestedKey | None = "auto",
        use_prioritized_weights: bool | str = "auto",
    ) -> None:
        super().__init__()
        self.reduction = check_reduction(reduction)
        self.loss_mask_key = loss_mask_key
        self.use_prioritized_weights = use_prioritized_weights
        self.vmap_randomness = "different"
        self.deactivate_vmap = False
        self.target_updater_required = True
        self.value_type: Any = None
        self._tensor_keys = self._AcceptedKeys()
        self._network_names: list[str] = []
        self._ensembles: dict[str, int] = {}
        self._delayed: list[str] = []
        self._coefficients: set[str] = set()
        self._flat: dict[str, dict[str, Tensor]] = {}
        self._stateless: dict[str, StatelessNetwork] = {}
        # kept out of `modules()` and `state_dict()`, as the networks are: they share parameters
        self.__dict__["_estimator"] = None
        self._hyperparams: dict[str, Any] = {}
        self._selected_keys: list[NestedKey] | None = None
        self._in_keys: list[NestedKey] | None = None

    # ------------------------------------------------------------------ networks

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
            owned = {id(p) for p in self.parameters()}
            params = ensemble_parameters(module, expand_dim, owned)
            self._ensembles[module_name] = expand_dim
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
                fresh = ensemble_parameters(network, self._ensembles[name], set())
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

    def _flat_params(self, name: str, *, target: bool, detach: bool) -> dict[str, Tensor]:
        key = f"target_{name}_params" if target and name in self._delayed else f"{name}_params"
        flat = self._flat.get(key)
        if flat is None:
            flat = self._flat[key] = flat_parameters(self._modules[key])
        if detach or (target and name not in self._delayed):
            return {k: v.detach() for k, v in flat.items()}
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
    ) -> Tensor:
        """Return entry `key` of each network's output, stacked: `[N, *B, ...]`."""
        params = self._flat_params(name, target=target, detach=detach)
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

    def _apply(self, fn: Callable, recurse: bool = True) -> LossModule:
        super()._apply(fn, recurse)
        # parameters keep their identity; buffers are replaced, so the networks get the new ones
        for name in self._network_names:
            if name not in self._ensembles and name not in self._modules:
                _share_buffers(self.__dict__[name], self._params(name))
        if self._estimator is not None:
            for buffer in list(self._estimator._buffers):
                self._estimator._buffers[buffer] = fn(self._estimator._buffers[buffer])
        self._flat.clear()
        return self

    def __getstate__(self) -> dict[str, Any]:
        # twins hold tensors of the last graph, which cannot be copied; they are made when needed
        return {**self.__dict__, "_flat": {}, "_stateless": {}}

    # --------------------------------------------------------------------- names

    @property
    def tensor_keys(self) -> _AcceptedKeys:
        """The names in use; change them with `set_keys`."""
        return self._tensor_keys

    def set_keys(self, **keys: NestedKey | None) -> None:
        """Rename what the loss, and its value estimator, read and write.

        Raises:
            ValueError: on an unknown name, listing the accepted ones.
        """
        self._tensor_keys = renamed_keys(type(self).__name__, self._tensor_keys, **keys)
        self._in_keys = None
        self._keys_changed()
        if self._estimator is not None:
            self._name_estimator()

    def _keys_changed(self) -> None:
        """Recompute what depends on the names; nothing by default."""

    @property
    def in_keys(self) -> list[NestedKey]:
        """What the loss reads; the keyword arguments of a call without TensorDict."""
        if self._in_keys is None:
            self._in_keys = list(dict.fromkeys(unravel_key(k) for k in self._read_keys()))
        return self._in_keys

    @in_keys.setter
    def in_keys(self, keys: list[NestedKey]) -> None:
        self._in_keys = [unravel_key(k) for k in keys]

    def _read_keys(self) -> list[NestedKey]:
        keys: list[NestedKey] = []
        for name in self._network_names:
            keys += getattr(self, name).in_keys
        return keys + self._step_keys(keys)

    def _step_keys(self, inputs: list[NestedKey]) -> list[NestedKey]:
        """Return the keys under `"next"` that a loss with a value estimator reads."""
        names = self._tensor_keys
        flags = [names.reward, names.done, names.terminated]
        return [in_next(k) for k in (*flags, *inputs)]

    @property
    def out_keys(self) -> list[NestedKey]:
        """What the loss returns; the order of the tuple of a call without TensorDict."""
        if self._selected_keys is not None:
            return self._selected_keys
        return list(self._written_keys())

    @out_keys.setter
    def out_keys(self, keys: list[NestedKey]) -> None:
        self._selected_keys = list(keys)

    def _written_keys(self) -> Sequence[NestedKey]:
        return ("loss",)

    def select_out_keys(self, *out_keys: NestedKey) -> LossModule:
        """Return only some entries from now on.

        Raises:
            ValueError: when the loss does not return one of them.
        """
        known = list(self._written_keys())
        for key in out_keys:
            if key not in known:
                raise ValueError(
                    f"{type(self).__name__} does not return `{key}`. {nearest(str(key), known)}"
                )
        self._selected_keys = list(out_keys)
        return self

    def reset_out_keys(self) -> LossModule:
        """Return every entry again."""
        self._selected_keys = None
        return self

    # ----------------------------------------------------------- value estimation

    def make_value_estimator(
        self,
        value_type: ValueEstimators | str | type | ValueEstimatorBase | None = None,
        **hyper: Any,
    ) -> LossModule:
        """Choose how value targets are made, and return the loss.

        Args:
            value_type: a member or name of `ValueEstimators`, a class, or an estimator. Default:
                the loss's `default_value_estimator`.
            **hyper: `gamma`, `lmbda`, ...; what is not given has `default_value_kwargs`.

        Raises:
            NotRegisteredError: on an unknown name.
        """
        if value_type is None:
            value_type = self.default_value_estimator
        # an estimator is a module, which assigning would register
        self.__dict__["value_type"] = value_type
        if isinstance(value_type, ValueEstimatorBase):
            self.__dict__["_estimator"] = value_type
        else:
            self.__dict__["_estimator"] = self._build_estimator(value_type, hyper)
        self._name_estimator()
        return self

    @property
    def value_estimator(self) -> ValueEstimatorBase:
        """The estimator of value targets, the default one unless another was made."""
        if self._estimator is None:
            self.make_value_estimator(self.default_value_estimator, **self._hyperparams)
        return self._estimator

    def _build_estimator(self, value_type: Any, hyper: dict[str, Any]) -> ValueEstimatorBase:  # noqa: ANN401
        if isinstance(value_type, type):
            return value_type(**{**self._estimator_networks(value_type), **hyper})
        estimator = get_value_estimator_entry(value_type).estimator
        hyper = {**default_value_kwargs(value_type), **self._hyperparams, **hyper}
        return estimator(**{**self._estimator_networks(estimator), **hyper})

    def _estimator_networks(self, estimator: type) -> dict[str, nn.Module | None]:
        """Return the networks with which an estimator is built."""
        return {"value_network": None}

    def _name_estimator(self) -> None:
        known = key_names(self._tensor_keys)
        shared = {n: getattr(self._tensor_keys, n) for n in self._estimator_keys if n in known}
        self._estimator.set_keys(**shared)

    # ------------------------------------------------------------------- running

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run `forward` in the loss's sampling mode."""
        if self._delayed and self.target_updater_required:
            self._check_updater()
        with set_interaction_type(self.deterministic_sampling_mode):
            return super().__call__(*args, **kwargs)

    def _check_updater(self) -> None:
        if torch.compiler.is_compiling() or not (self.training and torch.is_grad_enabled()):
            return
        self.target_updater_required = False
        warnings.warn(
            f"{type(self).__name__} has target parameters ("
            + ", ".join(f"`target_{n}_params`" for n in self._delayed)
            + ") that nothing moves: build `SoftUpdate(loss, tau=0.005)` or `HardUpdate(loss)` and "
            "call `.step()` after the optimizer, or set `loss.target_updater_required = False`.",
            stacklevel=3,
        )

    def _output(self, values: dict[str, Tensor]) -> TensorDict:
        """Return the entries of a forward call, the selected ones where some were selected."""
        if self._selected_keys is not None:
            values = {k: v for k, v in values.items() if k in self._selected_keys}
        return TensorDict(values)

    def _mask(self, tensordict: TensorDictBase) -> Tensor | None:
        """Return the bool mask of the steps that count, or `None` when all do."""
        if self.loss_mask_key is None:
            return None
        if self.loss_mask_key != "auto":
            return _required(tensordict, self.loss_mask_key, "`loss_mask_key` names it")
        mask = None
        for key in AUTO_LOSS_MASK_KEYS:
            found = tensordict.get(key, None)
            if found is not None:
                found = found.reshape(tensordict.shape)
                mask = found if mask is None else mask & found
        return mask

    def _priority_weights(self, tensordict: TensorDictBase) -> Tensor | None:
        if self.use_prioritized_weights is False:
            return None
        key = getattr(self._tensor_keys, "priority_weight", None)
        weights = None if key is None else tensordict.get(key, None)
        if weights is None and self.use_prioritized_weights is True:
            return _required(tensordict, key, "`use_prioritized_weights=True` asks for it")
        return weights

    def _reduce(
        self, loss: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        return reduce_loss(loss, self.reduction, mask=mask, weights=weights)

    # -------------------------------------------------------------- coefficients

    def register_coeff_buffer(
        self,
        name: str,
        value: float | Tensor | None,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Register a coefficient that schedules change: assigning a number writes in place."""
        tensor = None if value is None else torch.as_tensor(value, device=device, dtype=dtype)
        self.register_buffer(name, tensor)
        self._coefficients.add(name)

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        if isinstance(value, (int, float)) and name in self.__dict__.get("_coefficients", ()):
            self._buffers[name].fill_(value)
            return
        super().__setattr__(name, value)


def _required(tensordict: TensorDictBase, key: NestedKey, why: str) -> Tensor:
    found = tensordict.get(key, None)
    if found is None:
        raise MissingKeyError(f"`{key}` is not in the batch: {why}.")
    return found


def _share_buffers(network: nn.Module, params: TensorDictParams) -> None:
    for name, leaf in flat_parameters(params).items():
        if not isinstance(leaf, nn.Parameter):
            owner, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(owner), attribute, leaf)
