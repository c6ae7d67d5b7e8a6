"""RenameTransform: other names outside of the env than inside."""

from __future__ import annotations

from collections.abc import Sequence

from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey
from rl.core.errors import SpecError
from rl.core.specs import Composite
from rl.core.transform import Transform

__all__ = ["RenameTransform"]


class RenameTransform(Transform):
    """Rename entries: `in_keys` become `out_keys`, and inputs `out_keys_inv` become `in_keys_inv`.

    Args:
        in_keys: entries to rename, leaves or whole groups.
        out_keys: their names outside.
        in_keys_inv: inputs as the inner env names them.
        out_keys_inv: the same inputs as the outside names them.
        create_copy: keep the entry under its old name as well.

    Raises:
        SpecError: the numbers of keys differ, or an output name is given twice.
        MissingKeyError: an entry is not in the env.

    Example:
        >>> from tensordict import TensorDict
        >>> sorted(RenameTransform(["a"], ["b"])(TensorDict({"a": 1})).keys())
        ['b']
    """

    batchable = True

    def __init__(
        self,
        in_keys: Sequence[NestedKey],
        out_keys: Sequence[NestedKey],
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
        create_copy: bool = False,
    ) -> None:
        super().__init__(
            in_keys=in_keys, out_keys=out_keys, in_keys_inv=in_keys_inv, out_keys_inv=out_keys_inv
        )
        for old, new, names in (
            (self.in_keys, self.out_keys, ("in_keys", "out_keys")),
            (self.in_keys_inv, self.out_keys_inv, ("in_keys_inv", "out_keys_inv")),
        ):
            if len(old) != len(new) or len(set(new)) != len(new):
                raise SpecError(
                    f"`{names[0]}={old}` and `{names[1]}={new}` do not pair up: give one new, "
                    "different name per entry."
                )
        self.create_copy = create_copy
        self._pairs = list(zip(self.in_keys, self.out_keys, strict=True))
        self._pairs_inv = list(zip(self.out_keys_inv, self.in_keys_inv, strict=True))

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        return _rename(next_tensordict, self._pairs, self.create_copy)

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        return _rename(tensordict, self._pairs_inv, self.create_copy)

    @property
    def has_inverse(self) -> bool:
        """Whether an input is renamed."""
        return bool(self.in_keys_inv)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Rename the entries of a TensorDict.

        Raises:
            MissingKeyError: an entry is absent.
        """
        return super().forward(tensordict)

    # ---------------------------------------------------------------- specs

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs under their outer names."""
        groups = ("observation", "reward", "done")
        self._check(output_spec, groups, self.in_keys)
        return self._renamed(output_spec, groups, self._pairs)

    def transform_input_spec(self, input_spec: Composite) -> Composite:
        """Return the specs of the inputs under their outer names."""
        groups = ("action", "state")
        self._check(input_spec, groups, self.in_keys_inv)
        pairs = list(zip(self.in_keys_inv, self.out_keys_inv, strict=True))
        return self._renamed(input_spec, groups, pairs)

    def _check(self, spec: Composite, groups: tuple[str, ...], keys: list[NestedKey]) -> None:
        known = [key for group in groups for key in spec[f"full_{group}_spec"].keys(True)]
        for key in keys:
            if key not in known:
                raise self._missing(key, known)

    def _renamed(
        self,
        spec: Composite,
        groups: tuple[str, ...],
        pairs: list[tuple[NestedKey, NestedKey]],
    ) -> Composite:
        for group in groups:
            name = f"full_{group}_spec"
            part = spec[name]
            found = {old: part[old] for old, _ in pairs if old in part.keys(True)}
            if not self.create_copy:
                for old in found:
                    del part[old]
            for old, new in pairs:
                if old in found:
                    part[new] = found[old].clone()
            spec[name] = part
        return spec


def _rename(
    tensordict: TensorDictBase, pairs: list[tuple[NestedKey, NestedKey]], copy: bool
) -> TensorDictBase:
    if len(pairs) == 1:
        ((old, new),) = pairs
        value = tensordict.get(old, None)
        if value is not None:
            if not copy:
                del tensordict[old]
            tensordict.set(new, value)
        return tensordict
    # all are taken out before any is written, so that names can be swapped
    take = tensordict.get if copy else tensordict.pop
    values = [(new, take(old, None)) for old, new in pairs]
    for new, value in values:
        if value is not None:
            tensordict.set(new, value)
    return tensordict
