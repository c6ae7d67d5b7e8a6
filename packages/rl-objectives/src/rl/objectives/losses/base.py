"""The base of every loss: networks and their parameters, names, estimator, modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, unravel_key
from tensordict.nn import (
    InteractionType,
    set_interaction_type,
)
from torch import Tensor, nn

from rl.core.contract.keys import in_next
from rl.core.errors import MissingKeyError, nearest
from rl.core.logging import warn
from rl.core.modules import set_recurrent_mode
from rl.objectives.keys import key_names, renamed_keys
from rl.objectives.losses.network_holder import NetworkHolder
from rl.objectives.losses.reduction import AUTO_LOSS_MASK_KEYS, check_reduction, reduce_loss
from rl.objectives.value.base import ValueEstimatorBase
from rl.objectives.value.registry import (
    ValueEstimators,
    default_value_kwargs,
    get_value_estimator_entry,
)

__all__ = ["LossModule"]


class LossModule(NetworkHolder):
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
    `deterministic_sampling_mode` and with `set_recurrent_mode(True)`.

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
        self.target_updater_required = True
        self.value_type: Any = None
        self._tensor_keys = self._AcceptedKeys()
        self._coefficients: set[str] = set()
        # kept out of `modules()` and `state_dict()`, as the networks are: they share parameters
        self.__dict__["_estimator"] = None
        self._hyperparams: dict[str, Any] = {}
        self._selected_keys: list[NestedKey] | None = None
        self._in_keys: list[NestedKey] | None = None

    def _apply(self, fn: Callable, recurse: bool = True) -> LossModule:
        super()._apply(fn, recurse)
        if self._estimator is not None:
            for name, buffer in list(self._estimator._buffers.items()):
                self._estimator._buffers[name] = fn(buffer)
        return self

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

    # one context per frame: a compiler that leaves the graph within can resume no more than one
    @set_recurrent_mode(True)
    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run `forward` in the loss's modes."""
        if self._delayed and self.target_updater_required:
            self._check_updater()
        with set_interaction_type(self.deterministic_sampling_mode):
            return super().__call__(*args, **kwargs)

    def _check_updater(self) -> None:
        if torch.compiler.is_compiling() or not (self.training and torch.is_grad_enabled()):
            return
        self.target_updater_required = False
        warn(
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
