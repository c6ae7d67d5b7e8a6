"""`WeightStrategy`: in which form weights are taken from a model and put into one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from tensordict import NonTensorData, TensorDict, TensorDictBase

from rl.core.errors import RLError
from rl.core.weights.naming import WeightsError, extra_holders, named_tensors, plain_name
from rl.core.weights.versioned import (
    Weights,
    apply_weights,
    require_fit,
    split_extra,
    stamp_tensors,
    versioned_weights,
)

__all__ = ["WeightStrategy"]

_EXTRA = "_extra_state"


class WeightStrategy:
    """Takes weights from a model, as a TensorDict or a state_dict, and puts them into another.

    | `extract_as` | what is taken |
    |---|---|
    | `"tensordict"` | all parameters and buffers, nested like the modules |
    | `"state_dict"` | what `nn.Module.state_dict` holds: no buffers that are not persistent |

    Extra state of modules (`nn.Module.get_extra_state`) travels with either. Names are those of
    what was compiled, where `torch.compile` wraps it.

    Args:
        extract_as: `"tensordict"` or `"state_dict"`.

    Raises:
        RLError: the form is unknown.

    Example:
        >>> source, target = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        >>> strategy = WeightStrategy("state_dict")
        >>> strategy.apply_weights(target, strategy.extract_weights(source))
        >>> torch.equal(source.weight, target.weight)
        True
    """

    def __init__(self, extract_as: Literal["tensordict", "state_dict"] = "tensordict") -> None:
        if extract_as not in ("tensordict", "state_dict"):
            raise RLError(f"`{extract_as}` is no form: pass 'tensordict' or 'state_dict'.")
        self.extract_as = extract_as

    def __repr__(self) -> str:
        return f"WeightStrategy({self.extract_as!r})"

    def extract_weights(self, source: Any) -> TensorDictBase | dict[str, Any] | None:  # noqa: ANN401
        """Return the weights of `source`, which share its memory.

        Args:
            source: a module, a TensorDict, a state_dict, or None.

        Raises:
            WeightsError: it is none of these, or a lazy module that has not run.
        """
        if source is None:
            return None
        tensors, states = self._entries(source)
        if self.extract_as == "state_dict":
            return {**tensors, **states}
        wrapped = {name: NonTensorData(state) for name, state in states.items()}
        return TensorDict({**tensors, **wrapped}, batch_size=[]).unflatten_keys(".")

    def apply_weights(
        self,
        destination: Any,  # noqa: ANN401 (a module or a TensorDict)
        weights: Any,  # noqa: ANN401 (a TensorDict, a state_dict or `Weights`)
        inplace: bool = True,
    ) -> None:
        """Put weights into `destination`; nothing is changed where they do not fit.

        Args:
            destination: a module, or a TensorDict of weights.
            weights: from `extract_weights`, or `Weights`.
            inplace: copy into the tensors that are there; otherwise a TensorDict takes those of
                `weights`. Modules keep their tensors, for optimisers and compiled code.

        Raises:
            WeightsError: the weights are partial, of other shapes or damaged, or `inplace=False`
                with a module.
        """
        stamped = self.stamp(weights, 0)
        if _is_module(destination):
            if not inplace:
                raise WeightsError(
                    "`inplace=False` would replace the module's parameters, which optimisers and "
                    "compiled code hold: leave it out."
                )
            apply_weights(destination, stamped)
            return
        if not isinstance(destination, TensorDictBase):
            raise _no_weights(destination)
        given, _, _ = split_extra(stamped)
        own, _ = _flat(destination)
        require_fit(given, own)
        with torch.no_grad():
            for name, tensor in own.items():
                if inplace:
                    tensor.copy_(given[name])
                else:
                    destination.set(tuple(name.split(".")), given[name])

    def stamp(self, source: Any, version: int) -> Weights:  # noqa: ANN401 (what has weights)
        """Return the weights of `source` with a version and a checksum.

        The tensors share the memory of `source`.

        Args:
            source: a module, a TensorDict, a state_dict, or `Weights`, which keep their checksum.
            version: the stamp.

        Raises:
            WeightsError: it is none of these.
        """
        if isinstance(source, Weights):
            return Weights(version, source.checksum, source.tensordict, source.extra)
        if _is_module(source):
            persistent = self.extract_as == "state_dict"
            return versioned_weights(source, version, copy=False, persistent=persistent)
        return stamp_tensors(*self._entries(source), version)

    def _entries(self, source: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:  # noqa: ANN401
        """Return the tensors and the extra states of `source`, by name."""
        if _is_module(source):
            tensors = named_tensors(source, persistent=self.extract_as == "state_dict")
            holders = extra_holders(source)
            return tensors, {name: part.get_extra_state() for name, part in holders.items()}
        if isinstance(source, TensorDictBase):
            return _flat(source)
        if isinstance(source, Mapping):
            named = {plain_name(name): value for name, value in source.items()}
            states = {k: v for k, v in named.items() if k.rpartition(".")[2] == _EXTRA}
            tensors = {k: v for k, v in named.items() if k not in states}
            if all(isinstance(value, torch.Tensor) for value in tensors.values()):
                return {name: value.detach() for name, value in tensors.items()}, states
        raise _no_weights(source)


def _is_module(source: object) -> bool:
    # `TensorDictParams` is both, and holds its tensors as a TensorDict
    return isinstance(source, torch.nn.Module) and not isinstance(source, TensorDictBase)


def _flat(tensordict: TensorDictBase, prefix: str = "") -> tuple[dict, dict]:
    """Return the tensors and the other entries of a TensorDict, by joined name."""
    tensors: dict[str, torch.Tensor] = {}
    states: dict[str, Any] = {}
    for key, value in tensordict.items():
        name = plain_name(f"{prefix}{key}")
        if isinstance(value, NonTensorData):
            states[name] = value.data
        elif isinstance(value, TensorDictBase):
            more, others = _flat(value, f"{name}.")
            tensors |= more
            states |= others
        elif isinstance(value, torch.Tensor):
            tensors[name] = value.detach()
        else:
            states[name] = value
    return tensors, states


def _no_weights(source: object) -> WeightsError:
    return WeightsError(
        f"A {type(source).__qualname__} holds no weights: pass a module, a TensorDict or a "
        "state_dict of tensors."
    )
