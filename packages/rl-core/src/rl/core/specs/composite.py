"""Composite specs: a tree of specs that mirrors a TensorDict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, Self

import torch
from tensordict import TensorDict

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import RLError, ShapeError, SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec, as_device
from rl.core.specs.batch_index import indexed_names, without_ellipsis
from rl.core.specs.shapes import as_shape, flat_args, view_shape
from rl.core.specs.tree import NO_DEFAULT, SpecTree, as_names, checked_names, entry_of

__all__ = ["Composite"]

Entry = TensorSpec | Mapping | None


class Composite(SpecTree):
    """A dict of specs, nested like the TensorDict that it describes.

    `shape` is the batch shape: every entry's shape starts with it. `device=None` leaves each
    entry on its own device. Entries may be None (a key without a spec).

    Args:
        *args: one mapping (or iterable of pairs) from keys, nested ones included, to specs.
        shape: batch shape, `[]` by default.
        device: device of all entries, or None.
        data_cls: class with `from_tensordict` (such as a tensorclass) that `rand`, `zero` and
            `one` return.
        step_mdp_static: mark the entries as data that does not move under `step_mdp`.
        names: names of the batch dimensions.
        **kwargs: further entries.

    Raises:
        SpecError: an entry does not start with the batch shape, or is on another device; the
            message names the key.

    Example:
        >>> from rl.core.specs import Bounded, Categorical
        >>> spec = Composite(
        ...     observation=Bounded(-1, 1, (8, 4)), action=Categorical(2, (8,)), shape=(8,)
        ... )
        >>> spec.rand().batch_size, list(spec.keys())
        (torch.Size([8]), ['observation', 'action'])
        >>> spec["observation"].shape, spec[0].shape
        (torch.Size([8, 4]), torch.Size([]))
    """

    def __init__(
        self,
        *args: Mapping | Iterable[tuple[NestedKey, Entry]],
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        data_cls: type | None = None,
        step_mdp_static: bool = False,
        names: Sequence[str | None] | None = None,
        **kwargs: Entry,
    ) -> None:
        if len(args) > 1:
            raise SpecError(
                f"`Composite` takes one mapping, got {len(args)} positional arguments: give the "
                "entries as keywords and the batch shape as `shape=`."
            )
        source = args[0] if args else {}
        if isinstance(source, Composite):
            shape = source.shape if shape is None else shape
            device = source.device if device is None else device
        self.space = None
        self.device = None if device is None else as_device(device)
        self._memo = None
        self._specs: dict[str, TensorSpec | None] = {}
        self._locked = False
        self._set_shape(as_shape(shape))
        self.data_cls = data_cls
        self.step_mdp_static = step_mdp_static
        self._names = checked_names(names, self.shape)
        pairs = source.items() if isinstance(source, Mapping | Composite) else source
        for key, spec in (*pairs, *kwargs.items()):
            self.set(key, spec)

    # The dict's side.

    def set(self, key: NestedKey, spec: Entry) -> Self:
        """Set one entry; a nested key makes the composites on its way.

        Args:
            key: name, or tuple of names.
            spec: a spec, a mapping (which becomes a `Composite` of this shape) or None.

        Raises:
            SpecError: the composite is locked, or the entry does not fit.
        """
        if self._locked:
            raise SpecError(
                f"Cannot set `{key}` in a locked `Composite`: call `unlock_()`, set it, `lock_()`."
            )
        key = unravel_key(key)
        if isinstance(key, tuple):
            head, rest = key[0], key[1:]
            child = self._specs.get(head)
            if not isinstance(child, Composite):
                child = Composite(shape=self.shape, device=self.device, names=self._names)
                self._specs[head] = child
            child.set(rest if len(rest) > 1 else rest[0], spec)
            return self
        self._specs[key] = self._checked(key, spec)
        return self

    def _checked(self, key: str, spec: Entry) -> TensorSpec | None:
        if spec is None:
            return None
        if not isinstance(spec, TensorSpec):
            if not isinstance(spec, Mapping):
                raise SpecError(
                    f"`{key}` is a {type(spec).__name__}, expected a spec: wrap the values in "
                    "`Unbounded`, `Bounded`, `Categorical`, ... or `NonTensor`."
                )
            return Composite(spec, shape=self.shape, device=self.device)
        if spec.shape[: self.ndim] != self.shape:
            raise SpecError(
                f"`{key}` has shape {list(spec.shape)}, which does not start with the composite's "
                f"batch shape {list(self.shape)}: expand it "
                f"(`spec.expand({', '.join(map(str, (*self.shape, *spec.shape)))})`), or build "
                "the `Composite` with another `shape=`."
            )
        if self.device is not None and spec.device is not None and spec.device != self.device:
            raise SpecError(
                f"`{key}` is on {spec.device}, the composite on {self.device}: move it "
                f'(`spec.to("{self.device}")`), or build the `Composite` with device=None.'
            )
        if isinstance(spec, Composite) and spec.device is None and self.device is not None:
            spec = spec.to(self.device)
        return spec

    def pop(self, key: NestedKey, default: Any = NO_DEFAULT) -> TensorSpec | None:  # noqa: ANN401
        """Remove one entry and return it.

        Raises:
            MissingKeyError: there is none and no default.
            SpecError: the composite is locked.
        """
        found = self.get(key, default)
        if key in self:
            self._remove(key)
        return found

    def _remove(self, key: NestedKey) -> None:
        if self._locked:
            raise SpecError(
                f"Cannot remove `{key}` from a locked `Composite`: call `unlock_()` first."
            )
        *path, name = (key,) if isinstance(key, str) else as_names(key)
        parent = self.get(tuple(path)) if path else self
        if parent is not self:
            parent._remove(name)
        else:
            del self._specs[name]

    def update(self, dict_or_spec: Mapping | Composite) -> Self:
        """Set every entry of a mapping or composite; nested composites are merged."""
        for key, spec in dict_or_spec.items():
            mine = self.get(key, None)
            if isinstance(mine, Composite) and isinstance(spec, Composite | Mapping):
                mine.update(spec)
            else:
                self.set(key, spec)
        return self

    def separates(self, *keys: NestedKey, default: Any = None) -> Composite:  # noqa: ANN401
        """Remove the given entries and return them as a composite of the same shape.

        Args:
            *keys: entries to move.
            default: set where there is no such entry; None leaves it out.
        """
        out = self.empty()
        for key in keys:
            spec = self.pop(key, default)
            if spec is not None:
                out.set(key, spec)
        return out

    def empty(self) -> Self:
        """Return a composite without entries, with this shape, device and flags."""
        new = self._copy()
        new._specs = {}
        new._locked = False
        return new

    def __setitem__(self, key: NestedKey, spec: Entry) -> None:
        self.set(key, spec)

    def __delitem__(self, key: NestedKey) -> None:
        self.get(key)
        self._remove(key)

    # Locks.

    def lock_(self, recurse: bool = True) -> Self:
        """Refuse changes of the entries, here and (with `recurse`) below; return the spec."""
        return self._set_lock(True, recurse)

    def unlock_(self, recurse: bool = True) -> Self:
        """Allow changes of the entries, here and (with `recurse`) below; return the spec."""
        return self._set_lock(False, recurse)

    def _set_lock(self, mode: bool, recurse: bool) -> Self:
        self._locked = mode
        if recurse:
            for spec in self._specs.values():
                if isinstance(spec, Composite):
                    spec._set_lock(mode, True)
        return self

    # Values.

    def _build(self, shape: int | Sequence[int] | None, draw: Callable) -> Any:  # noqa: ANN401
        data = TensorDict(
            {key: draw(spec, shape) for key, spec in self._specs.items() if spec is not None},
            batch_size=self._full_shape(shape),
            device=self.device,
            names=self._data_names(shape),
        )
        return data if self.data_cls is None else self.data_cls.from_tensordict(data)

    def _data_names(self, shape: int | Sequence[int] | None) -> list | None:
        if not self._names:
            return None
        return [None] * (len(self._full_shape(shape)) - self.ndim) + list(self._names)

    def rand(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Draw a TensorDict (or `data_cls`) with a value per entry.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        return self._build(shape, _rand)

    def zero(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return a TensorDict (or `data_cls`) of zeros."""
        return self._build(shape, _zero)

    def one(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return a TensorDict (or `data_cls`) of ones."""
        return self._build(shape, _one)

    def project(self, val: Any) -> Any:  # noqa: ANN401
        """Return the data with every entry projected; other keys are kept.

        Raises:
            ShapeError: an entry does not end with its spec's shape; the message names the key.
        """
        out = val.copy()
        for key, spec in self._specs.items():
            entry = None if spec is None else entry_of(val, key)
            if entry is not None:
                out[key] = _at(key, spec.project, entry)
        return out

    def encode(self, val: Any, *, ignore_device: bool = False) -> Any:  # noqa: ANN401
        """Return a mapping of numbers, lists and arrays as a TensorDict of this spec.

        Args:
            val: mapping or TensorDict; keys without a spec are refused.
            ignore_device: leave tensors where they are.

        Raises:
            MissingKeyError: a key has no spec.
            ShapeError: a value does not fit; the message names the key.
        """
        encoded = {}
        for key, value in val.items():
            spec = self.get(key)
            if spec is None:
                encoded[key] = value
            else:
                encoded[key] = _at(key, spec.encode, value, ignore_device=ignore_device)
        batch = _batch_of(encoded, self)
        data = TensorDict(encoded, batch_size=batch, device=None if ignore_device else self.device)
        return data if self.data_cls is None else self.data_cls.from_tensordict(data)

    # Shape: the operations act on the batch dimensions.

    def _map(
        self,
        shape: torch.Size,
        call: Callable[[TensorSpec], TensorSpec],
        names: Sequence[str | None] | None = None,
    ) -> Self:
        new = self._copy()
        new._set_shape(shape)
        new._names = tuple(names) if names and any(names) else None
        new._specs = {}
        new._locked = False
        for key, spec in self._specs.items():
            new._specs[key] = None if spec is None else call(spec)
        return new

    def _rest(self, spec: TensorSpec) -> tuple[int, ...]:
        """Return the sizes of an entry that lie behind the batch dimensions."""
        return tuple(spec.shape[self.ndim :])

    def expand(self, *shape: int | Sequence[int]) -> Self:
        """Return the spec with the batch shape expanded to `shape`."""
        sizes = flat_args(shape)
        new = view_shape(self.shape, lambda tensor: tensor.expand(sizes))
        names = [None] * (len(new) - self.ndim) + self.names
        keep = (-1,)  # an entry keeps what lies behind the batch
        return self._map(
            new, lambda spec: spec.expand(*sizes, *keep * len(self._rest(spec))), names
        )

    def squeeze(self, dim: int | None = None) -> Self:
        """Return the spec without the batch dimension `dim` if its size is 1 (all, if None)."""
        if dim is None:
            out = self
            for i in reversed(range(self.ndim)):
                out = out.squeeze(i)
            return out
        dim = self._dim(dim)
        if self.shape[dim] != 1:
            return self
        names = self.names
        del names[dim]
        shape = self.shape[:dim] + self.shape[dim + 1 :]
        return self._map(shape, lambda spec: spec.squeeze(dim), names)

    def unsqueeze(self, dim: int) -> Self:
        """Return the spec with a batch dimension of size 1 at `dim`."""
        if not -self.ndim - 1 <= dim <= self.ndim:
            raise ShapeError(
                f"Dimension {dim} is out of range for a `Composite` of shape {list(self.shape)}: "
                f"give one of {-self.ndim - 1}..{self.ndim}."
            )
        dim = dim % (self.ndim + 1)
        names = self.names
        names.insert(dim, None)
        shape = torch.Size([*self.shape[:dim], 1, *self.shape[dim:]])
        return self._map(shape, lambda spec: spec.unsqueeze(dim), names)

    def reshape(self, *shape: int | Sequence[int]) -> Self:
        """Return the spec with another batch shape of as many elements."""
        sizes = flat_args(shape)
        new = view_shape(self.shape, lambda tensor: tensor.reshape(sizes))
        return self._map(new, lambda spec: spec.reshape(*new, *self._rest(spec)))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """Return the spec with batch dimensions `start_dim..end_dim` merged."""
        start, end = self._dim(start_dim), self._dim(end_dim)
        new = view_shape(self.shape, lambda tensor: tensor.flatten(start, end))
        names = [*self.names[:start], None, *self.names[end + 1 :]]
        return self._map(new, lambda spec: spec.flatten(start, end), names)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Self:
        """Return the spec with batch dimension `dim` split into `sizes`."""
        dim = self._dim(dim)
        new = view_shape(self.shape, lambda tensor: tensor.unflatten(dim, sizes))
        names = [*self.names[:dim], *[None] * len(sizes), *self.names[dim + 1 :]]
        return self._map(new, lambda spec: spec.unflatten(dim, sizes), names)

    def make_neg_dim(self, dim: int) -> Self:
        """Return the spec with batch dimension `dim` of unknown size (-1)."""
        dim = self._dim(dim)
        shape = torch.Size([-1 if i == dim else size for i, size in enumerate(self.shape)])
        return self._map(shape, lambda spec: spec.make_neg_dim(dim), self.names)

    def _indexed(self, index: Any) -> Self:  # noqa: ANN401
        index = without_ellipsis(index, self.ndim)
        shape = TensorSpec(self.shape)[index].shape
        return self._map(shape, lambda spec: spec[index], indexed_names(self.names, index))

    # Copies, devices, comparison.

    def clone(self) -> Self:
        """Return a copy whose entries can be changed apart; it is unlocked."""
        return self._map(self.shape, lambda spec: spec.clone(), self._names)

    def to(self, dest: DEVICE_TYPING | torch.dtype | None) -> Self:
        """Return the spec with every entry on another device or with another dtype."""
        if dest is None:
            return self
        new = self._map(self.shape, lambda spec: spec.to(dest), self._names)
        if not isinstance(dest, torch.dtype):
            new.device = as_device(dest)
        return new

    def clear_device_(self) -> Self:
        """Forget the device here and in nested composites; entries stay where they are."""
        self.device = None
        for spec in self._specs.values():
            if spec is not None:
                spec.clear_device_()
        return self

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and self.shape == other.shape
            and self.device == other.device
            and self._names == other._names
            and self.data_cls is other.data_cls
            and self.step_mdp_static == other.step_mdp_static
            and self._specs.keys() == other._specs.keys()
            and all(spec == other._specs[key] for key, spec in self._specs.items())
        )

    __hash__ = None

    def __repr__(self) -> str:
        lines = "".join(
            f"    {key}: {str(spec).replace(chr(10), chr(10) + '    ')},\n"
            for key, spec in self._specs.items()
        )
        tail = f"device={self.device}, shape={list(self.shape)}"
        if self.data_cls is not None:
            tail += f", data_cls={self.data_cls.__name__}"
        return f"Composite(\n{lines}    {tail})" if lines else f"Composite({tail})"


def _rand(spec: TensorSpec, shape: Any) -> Any:  # noqa: ANN401
    return spec.rand(shape)


def _zero(spec: TensorSpec, shape: Any) -> Any:  # noqa: ANN401
    return spec.zero(shape)


def _one(spec: TensorSpec, shape: Any) -> Any:  # noqa: ANN401
    return spec.one(shape)


def _at(key: str, call: Callable, value: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Call `call(value)`; an error says under which key."""
    try:
        return call(value, **kwargs)
    except RLError as error:
        _raise_at(key, error)


def _raise_at(key: str, error: RLError) -> NoReturn:
    raise type(error)(f"In `{key}`: {error}") from None


def _batch_of(encoded: dict, spec: Composite) -> torch.Size:
    """Return the batch shape of encoded entries: the spec's, behind what they all put before."""
    extra: list[torch.Size] = []
    for key, value in encoded.items():
        leaf = spec._specs.get(key)
        if leaf is not None and isinstance(getattr(value, "shape", None), torch.Size):
            extra.append(value.shape[: len(value.shape) - leaf.ndim + spec.ndim])
    if not extra or any(batch != extra[0] for batch in extra):
        return spec._draw_shape
    return extra[0]
