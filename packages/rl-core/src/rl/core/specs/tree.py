"""The reading half of a composite spec: keys, lookups and tests of a tree of specs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from tensordict import TensorDict, TensorDictBase, is_tensor_collection

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import MissingKeyError, RLError, SpecError, nearest
from rl.core.specs.base import TensorSpec

__all__ = ["NO_DEFAULT", "SpecTree", "as_names", "checked_names", "entry_of"]

# Stands for the default that a caller did not give.
NO_DEFAULT = object()
_ABSENT = object()


class SpecTree(TensorSpec):
    """A tree of specs: what `Composite` and `StackedComposite` share.

    Example:
        >>> from rl.core.specs import Binary, Composite
        >>> isinstance(Composite(done=Binary(1)), SpecTree)
        True
    """

    # Entries by name; a composite stores them, a lazy stack works them out.
    _specs: dict[str, TensorSpec | None]
    _locked: bool
    _names: tuple[str | None, ...] | None
    step_mdp_static: bool

    # The TensorDict's side: batch size, names, dtype.

    @property
    def batch_size(self) -> torch.Size:
        """The batch shape; the same as `shape`."""
        return self.shape

    @property
    def names(self) -> list[str | None]:
        """Names of the batch dimensions, None where unnamed."""
        return list(self._names) if self._names else [None] * self.ndim

    @names.setter
    def names(self, names: Sequence[str | None] | None) -> None:
        self._names = checked_names(names, self.shape)

    def refine_names(self, *names: str | None) -> Self:
        """Name the batch dimensions in place and return the spec; `...` keeps the rest."""
        if Ellipsis in names:
            at = names.index(Ellipsis)
            missing = self.ndim - len(names) + 1
            names = (*names[:at], *self.names[at : at + missing], *names[at + 1 :])
        self.names = names
        return self

    @property
    def domain(self) -> str:
        """Always `"composite"`."""
        return "composite"

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype that all leaves share, or None."""
        dtypes = {leaf.dtype for leaf in self.values(True, True) if leaf is not None}
        return dtypes.pop() if len(dtypes) == 1 else None

    # Lookups.

    def get(self, item: NestedKey, default: Any = NO_DEFAULT) -> TensorSpec | None:  # noqa: ANN401
        """Return one entry.

        Args:
            item: name, or tuple of names.
            default: returned when there is no such entry.

        Raises:
            MissingKeyError: there is none and no default.
        """
        node: Any = self
        for name in (item,) if isinstance(item, str) else as_names(item):
            if not isinstance(node, SpecTree) or name not in node._specs:
                return self._missing(item, default)
            node = node._specs[name]
        return node

    def _missing(self, key: NestedKey, default: Any) -> Any:  # noqa: ANN401
        if default is not NO_DEFAULT:
            return default
        names = [_joined(known) for known in self.keys(True)]
        raise MissingKeyError(
            f"`{_joined(key)}` is not in the composite spec. {nearest(_joined(key), names)}"
        )

    def is_empty(self, recurse: bool = False) -> bool:
        """Return whether there are no entries (no leaves, with `recurse`)."""
        if not recurse:
            return not self._specs
        return not len(self.keys(True, True))

    def _entries(
        self,
        include_nested: bool,
        leaves_only: bool,
        is_leaf: Callable[[type], bool] | None,
        step_mdp_static_only: bool,
    ) -> Iterator[tuple[NestedKey, TensorSpec | None]]:
        for key, spec in self._specs.items():
            branch = isinstance(spec, SpecTree) and not (is_leaf and is_leaf(type(spec)))
            shown = not (leaves_only and branch)
            if step_mdp_static_only:
                shown = shown and getattr(spec, "step_mdp_static", False)
            if shown:
                yield key, spec
            if branch and include_nested:
                everything = step_mdp_static_only and spec.step_mdp_static
                for sub, leaf in spec._entries(
                    True, leaves_only, is_leaf, step_mdp_static_only and not everything
                ):
                    yield (key, *((sub,) if isinstance(sub, str) else sub)), leaf

    def items(
        self,
        include_nested: bool = False,
        leaves_only: bool = False,
        *,
        is_leaf: Callable[[type], bool] | None = None,
        step_mdp_static_only: bool = False,
    ) -> Any:  # noqa: ANN401
        """Return a view of the pairs of key and spec, as it is now.

        Args:
            include_nested: descend into nested composites; their keys are tuples.
            leaves_only: leave composites out.
            is_leaf: predicate on the class of a spec that makes a composite a leaf.
            step_mdp_static_only: only what is marked `step_mdp_static`.
        """
        entries = self._entries(include_nested, leaves_only, is_leaf, step_mdp_static_only)
        return dict(entries).items()

    def keys(
        self,
        include_nested: bool = False,
        leaves_only: bool = False,
        *,
        is_leaf: Callable[[type], bool] | None = None,
        step_mdp_static_only: bool = False,
    ) -> Any:  # noqa: ANN401
        """Return a view of the keys; arguments as in `items`."""
        entries = self._entries(include_nested, leaves_only, is_leaf, step_mdp_static_only)
        return dict(entries).keys()

    def values(
        self,
        include_nested: bool = False,
        leaves_only: bool = False,
        *,
        is_leaf: Callable[[type], bool] | None = None,
        step_mdp_static_only: bool = False,
    ) -> Any:  # noqa: ANN401
        """Return a view of the specs; arguments as in `items`."""
        entries = self._entries(include_nested, leaves_only, is_leaf, step_mdp_static_only)
        return dict(entries).values()

    def __contains__(self, key: NestedKey) -> bool:
        return self.get(key, _ABSENT) is not _ABSENT

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._specs))

    def __len__(self) -> int:
        return len(self._specs)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        if isinstance(index, str) or _is_key(index):
            return self.get(index)
        return self._indexed(index)

    # Locks.

    @property
    def is_locked(self) -> bool:
        """Whether entries can neither be set nor removed."""
        return self._locked

    @property
    def locked(self) -> bool:
        """The same as `is_locked`."""
        return self._locked

    # Tests and numpy.

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether every entry is there and allowed; further keys do not count."""
        if not is_tensor_collection(val) and not isinstance(val, Mapping):
            return False
        for key, spec in self._specs.items():
            if spec is None:
                continue
            entry = entry_of(val, key)
            if entry is None or not spec.is_in(entry):
                return False
        return True

    def assert_is_in(self, value: Any) -> None:  # noqa: ANN401
        """Raise unless every entry is there and allowed; the message names the key.

        Raises:
            MissingKeyError: an entry is not there.
            SpecError: an entry is not allowed.
        """
        for key, spec in self._specs.items():
            if spec is None:
                continue
            entry = entry_of(value, key)
            if entry is None:
                raise MissingKeyError(
                    f"`{key}` is in the spec and not in the data. "
                    f"{nearest(key, list(map(str, value.keys())))}"
                )
            try:
                spec.assert_is_in(entry)
            except RLError as error:
                raise type(error)(f"In `{key}`: {error}") from None

    def type_check(self, value: Any, selected_keys: Any = None) -> None:  # noqa: ANN401
        """Raise unless the entries that are there have their spec's dtype.

        Args:
            value: a TensorDict or mapping.
            selected_keys: name or names to check; all by default.

        Raises:
            SpecError: names the key and both dtypes.
        """
        if isinstance(selected_keys, str):
            selected_keys = [selected_keys]
        for key, spec in self._specs.items():
            if spec is None or (selected_keys is not None and key not in selected_keys):
                continue
            entry = entry_of(value, key)
            if isinstance(spec, SpecTree):
                spec.type_check({} if entry is None else entry)
            elif entry is not None:
                spec.type_check(entry, key)

    def to_numpy(self, val: Any, safe: bool | None = None) -> dict:  # noqa: ANN401
        """Return the data as a dict of numpy values.

        Args:
            val: TensorDict whose keys have a spec.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and an entry is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        return {
            key: self.get(key).to_numpy(value) for key, value in val.items() if key in self._specs
        }

    def memoize_encode(self, mode: bool = True) -> None:
        """Turn the cache of `encode` on or off for every leaf."""
        for spec in self._specs.values():
            if spec is not None:
                spec.memoize_encode(mode)

    def erase_memoize_cache(self) -> None:
        """Empty the caches of `encode`."""
        for spec in self._specs.values():
            if spec is not None:
                spec.erase_memoize_cache()

    def cardinality(self) -> int | float:
        """Return the product of the entries' cardinalities."""
        return math.prod(s.cardinality() for s in self._specs.values() if s is not None)

    def enumerate(self, use_mask: bool = False) -> TensorDictBase:
        """Return every combination of the entries' values, as a TensorDict `[count, *shape]`."""
        values = {
            key: spec.enumerate(use_mask) for key, spec in self._specs.items() if spec is not None
        }
        if not values:
            return TensorDict({}, batch_size=(1, *self._draw_shape), device=self.device)
        counts = [len(value) for value in values.values()]
        grid = torch.cartesian_prod(*[torch.arange(count) for count in counts])
        grid = grid.reshape(-1, len(counts))
        picked = {key: value[grid[:, i]] for i, (key, value) in enumerate(values.items())}
        return TensorDict(picked, batch_size=(len(grid), *self._draw_shape), device=self.device)


def as_names(key: NestedKey) -> tuple[str, ...]:
    """Return a key as a tuple of names."""
    key = unravel_key(key)
    return (key,) if isinstance(key, str) else key


def entry_of(data: Any, key: str) -> Any:  # noqa: ANN401
    """Return the entry, non-tensor data in its wrapper, or None."""
    return data.get(key, None)


def _joined(key: NestedKey) -> str:
    return key if isinstance(key, str) else ".".join(map(str, key))


def _is_key(index: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(index, tuple)
        and bool(index)
        and all(isinstance(name, str) or _is_key(name) for name in index)
    )


def checked_names(
    names: Sequence[str | None] | None, shape: torch.Size
) -> tuple[str | None, ...] | None:
    """Return the names of the batch dimensions as a tuple, None if there are none.

    Raises:
        SpecError: there is not one per dimension.
    """
    if names is None:
        return None
    if len(names) != len(shape):
        raise SpecError(
            f"`names` has {len(names)} entries, the batch shape {list(shape)} has {len(shape)} "
            "dimensions: give one name (or None) per dimension."
        )
    return tuple(names) if any(names) else None
