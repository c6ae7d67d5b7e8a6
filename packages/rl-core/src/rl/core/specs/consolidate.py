"""Queries on lazy stacks in a tree of specs, and their completion."""

from __future__ import annotations

from rl.core.specs.base import TensorSpec
from rl.core.specs.composite import Composite
from rl.core.specs.lazy_view import LazyView
from rl.core.specs.stacked import StackedComposite, stack_specs
from rl.core.specs.unbounded import Unbounded

__all__ = ["check_no_exclusive_keys", "consolidate_spec", "contains_lazy_spec"]


def contains_lazy_spec(spec: TensorSpec | None) -> bool:
    """Return whether the tree holds a `Stacked` or a `StackedComposite`.

    Example:
        >>> import torch
        >>> from rl.core.specs import Categorical
        >>> contains_lazy_spec(Composite(a=torch.stack([Categorical(2), Categorical(3)])))
        True
    """
    if isinstance(spec, LazyView):
        return True
    return isinstance(spec, Composite) and any(map(contains_lazy_spec, spec.values()))


def check_no_exclusive_keys(spec: TensorSpec | None, recurse: bool = True) -> bool:
    """Return whether no lazy stack has an entry that only some of its parts have.

    Args:
        spec: any spec.
        recurse: look into nested composites too.

    Example:
        >>> import torch
        >>> stack = torch.stack([Composite(a=Unbounded()), Composite(b=Unbounded())])
        >>> check_no_exclusive_keys(stack)
        False
    """
    if not isinstance(spec, Composite):
        return True
    parts = [spec]
    if isinstance(spec, StackedComposite):
        parts = list(spec.specs)
        keys = [set(part.keys()) for part in parts]
        if any(names != keys[0] for names in keys):
            return False
    if not recurse:
        return True
    return all(check_no_exclusive_keys(entry) for part in parts for entry in part.values())


def consolidate_spec(
    spec: Composite, recurse_through_entries: bool = True, recurse_through_stack: bool = True
) -> Composite:
    """Return the spec with the same keys in all parts of its lazy stacks.

    A missing entry is filled with an `Unbounded` of the same dtype whose dimensions behind the
    batch are empty, so that no data is asked for it.

    Args:
        spec: a composite, lazily stacked or holding lazy stacks.
        recurse_through_entries: consolidate nested composites too.
        recurse_through_stack: consolidate the parts of lazy stacks too.

    Example:
        >>> import torch
        >>> stack = torch.stack([Composite(a=Unbounded((2,))), Composite(b=Unbounded((2,)))])
        >>> done = consolidate_spec(stack)
        >>> sorted(done.keys()), done[1]["a"].shape
        (['a', 'b'], torch.Size([0]))
    """
    if isinstance(spec, StackedComposite):
        parts = [part.clone().unlock_() for part in spec.specs]
        if recurse_through_stack:
            flags = (recurse_through_entries, recurse_through_stack)
            parts = [consolidate_spec(part, *flags) for part in parts]
        _fill(parts)
        return stack_specs(parts, spec.dim)
    out = spec.clone().unlock_()
    if recurse_through_entries:
        for key, entry in spec.items():
            if isinstance(entry, Composite):
                out.set(
                    key, consolidate_spec(entry, recurse_through_entries, recurse_through_stack)
                )
    return out


def _fill(parts: list[Composite]) -> None:
    """Write, in place, into each part the entries that others have and it lacks."""
    known: dict[str, TensorSpec | None] = {}
    for part in parts:
        for key, entry in part.items():
            known.setdefault(key, entry)
    for part in parts:
        for key, entry in known.items():
            if key not in part:
                part.set(key, _placeholder(entry, part.ndim))
    for key, entry in known.items():
        if isinstance(entry, Composite):
            nested = [part[key] for part in parts]
            if all(isinstance(item, Composite) for item in nested):
                _fill(nested)


def _placeholder(entry: TensorSpec | None, batch_dims: int) -> TensorSpec | None:
    if entry is None:
        return None
    if isinstance(entry, Composite):
        out = entry.empty()
        for key, leaf in entry.items():
            out.set(key, _placeholder(leaf, batch_dims))
        return out
    if entry.dtype is None:
        return entry.clone()
    shape = [*entry.shape[:batch_dims], *[0] * (entry.ndim - batch_dims)]
    return Unbounded(shape, entry.device, entry.dtype)
