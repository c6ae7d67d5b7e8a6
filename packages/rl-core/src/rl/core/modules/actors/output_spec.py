"""What a module promises about its outputs: a spec for each key, checked against the first data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, SpecError
from rl.core.specs.base import TensorSpec
from rl.core.specs.categorical import Categorical
from rl.core.specs.composite import Composite
from rl.core.specs.multi import MultiOneHot
from rl.core.specs.one_hot import OneHot

__all__ = ["OutputSpec", "as_output_spec", "missing_key"]


def as_output_spec(
    spec: TensorSpec | Mapping | None,
    out_keys: Iterable[NestedKey],
    target: NestedKey | None = None,
) -> Composite:
    """Return the composite that gives each of `out_keys` its spec, or None.

    Args:
        spec: a composite over some of the keys, a leaf for `target`, or None.
        out_keys: the keys that a module writes.
        target: the key that a leaf describes, by default the only key.

    Raises:
        SpecError: a leaf was given for several keys, or the spec names no output.
    """
    out_keys = [key for key in out_keys if key != "_"]
    if spec is None:
        return Composite(dict.fromkeys(out_keys))
    if isinstance(spec, Mapping) and not isinstance(spec, Composite):
        spec = Composite(spec)
    if not isinstance(spec, Composite):
        if target is None:
            if len(out_keys) != 1:
                raise SpecError(
                    f"One leaf spec was given for the keys {out_keys}: give a "
                    "`Composite({key: spec, ...})` that names them."
                )
            target = out_keys[0]
        return Composite({key: spec if key == target else None for key in out_keys})
    named = list(spec.keys(True, True))
    if named and not any(key in out_keys for key in named):
        raise SpecError(
            f"The spec has the keys {named}, the module writes {out_keys}: name the entries of "
            "the `Composite` after `out_keys`."
        )
    full = spec.clone()
    for key in out_keys:
        if key not in named:
            full.set(key, None)
    return full


def missing_key(module: torch.nn.Module, keys: Iterable[NestedKey], td: object) -> MissingKeyError:
    """Return the error for a module that reads keys which `td` lacks."""
    present = _present(td)
    absent = [key for key in keys if key not in present]
    names = ", ".join(f"`{key}`" for key in absent)
    return MissingKeyError(
        f"{names} is missing: `{type(module).__name__}` reads {list(keys)}, the TensorDict has "
        f"{sorted(present, key=str)}. Rename `in_keys`, or write the entry before this module."
    )


def _present(td: object) -> set[NestedKey]:
    if not isinstance(td, TensorDictBase):
        return set()
    # both leaves and nodes: a module may read a whole sub-TensorDict
    return set(td.keys(include_nested=True))


class OutputSpec:
    """The spec of a module's outputs: held, checked once per shape, projected onto when safe."""

    _spec: Composite
    safe: bool = False

    def _init_spec(self, spec: Composite, safe: bool) -> None:
        if safe and all(spec.get(key, None) is None for key in self.out_keys):
            raise SpecError(
                f"`{type(self).__name__}(safe=True)` has no spec to project onto: pass `spec=`."
            )
        self.safe = safe
        self._set_spec(spec)

    def _set_spec(self, spec: Composite) -> None:
        self._spec = spec
        leaves = ((key, spec.get(key, None)) for key in self.out_keys if key != "_")
        # the outputs that have a spec, and the shapes that were seen to fit
        self._leaves = [(key, leaf) for key, leaf in leaves if leaf is not None]
        self._fitting: set[object] = set()

    @property
    def spec(self) -> Composite:
        """A composite with an entry, possibly None, for each output."""
        return self._spec

    @spec.setter
    def spec(self, spec: TensorSpec | None) -> None:
        self._set_spec(as_output_spec(spec, self.out_keys))

    def project_(self, td: TensorDictBase) -> TensorDictBase:
        """Bring the outputs that are outside their spec into it, in place."""
        for key, spec in self._leaves:
            value = td.get(key, None)
            if value is not None:
                td.set(key, spec.project(value))
        return td

    def check_outputs(self, td: TensorDictBase) -> None:
        """Check the outputs in `td` against the spec, once per shape."""
        if torch.compiler.is_compiling():
            return
        for key, spec in self._leaves:
            value = td.get(key, None)
            if isinstance(value, Tensor) and (key, value.shape) not in self._fitting:
                event = value.shape[td.batch_dims :] if td.batch_dims else None
                check_fits(key, spec, value.shape, event)
                if not self.safe:
                    check_discrete(key, spec, value)
                self._fitting.add((key, value.shape))


def check_fits(
    key: NestedKey,
    spec: TensorSpec,
    shape: torch.Size,
    event: torch.Size | None,
    num_classes: int | None = None,
) -> None:
    """Check that data of `shape` can be what `spec` describes, whatever its batch.

    Args:
        key: the entry's name, for the message.
        spec: a leaf spec, with or without batch dimensions.
        shape: the shape of the whole value.
        event: the trailing dimensions that make one value; None when unknown.
        num_classes: the number of classes when the value is an index.

    Raises:
        SpecError: when the last dimensions differ.
    """
    wanted = spec.shape
    least = 1 if isinstance(spec, OneHot | MultiOneHot) else 0
    known = len(wanted) if event is None else min(len(wanted), max(least, len(event)))
    tail = shape[len(shape) - known :]
    expected = wanted[len(wanted) - known :]
    fits = (
        (event is None or least <= len(event) <= len(wanted))
        and len(tail) == known
        and all(want in (-1, size) for want, size in zip(expected, tail, strict=True))
    )
    if not fits:
        given = list(shape) if event is None else f"{list(shape)} (one value: {list(event)})"
        raise SpecError(
            f"`{key}` has shape {given}, its spec `{type(spec).__name__}` expects "
            f"{list(wanted)}: {_fix(spec, event)}"
        )
    indexed = num_classes is not None and isinstance(spec, Categorical)
    if indexed and spec.space.n not in (-1, num_classes):
        raise SpecError(
            f"`{key}` is drawn from {num_classes} classes, its spec expects {spec.space.n}: "
            f"give the network {spec.space.n} outputs."
        )


def check_discrete(key: NestedKey, spec: TensorSpec, value: Tensor) -> None:
    """Check that real numbers given for a discrete spec are whole.

    Raises:
        SpecError: they are not: logits or values were written as an action.
    """
    if spec.domain != "discrete" or not value.is_floating_point():
        return
    if (value != value.round()).any():
        raise SpecError(
            f"`{key}` holds real numbers such as {value.flatten()[0].item():.3g}, its spec "
            f"`{type(spec).__name__}` expects whole ones: these are logits or values, not actions. "
            "Draw from them (`ProbabilisticActor`), take the greatest (`QValueActor`), or pass "
            "`safe=True`."
        )


def _fix(spec: TensorSpec, event: torch.Size | None) -> str:
    if isinstance(spec, OneHot | MultiOneHot) and event is not None and not event:
        return "use `OneHotCategorical`, or an env with `categorical_action_encoding=True`."
    if isinstance(spec, Categorical) and event:
        return "use `FusedCategorical`, or an env with one-hot actions."
    return "give the network as many outputs as the spec has, or pass the env's `action_spec`."
