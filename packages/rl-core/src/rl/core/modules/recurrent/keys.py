"""The entries that a recurrent module reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rl.core.contract.keys import NestedKey, as_key_list, in_next, unravel_key
from rl.core.errors import RLError, SpecError

__all__ = ["RecurrentKeys", "resolve_keys"]

INIT_KEY = "is_init"


@dataclass(frozen=True, slots=True)
class RecurrentKeys:
    """Input, states and flag of the first step, and where the output goes."""

    source: NestedKey
    states: tuple[NestedKey, ...]
    init: NestedKey
    out: NestedKey

    @property
    def read(self) -> list[NestedKey]:
        """The keys that are read."""
        return [self.source, *self.states, self.init]

    @property
    def written(self) -> list[NestedKey]:
        """The keys that are written."""
        return [self.out, *map(in_next, self.states)]


def resolve_keys(
    owner: str,
    states: tuple[str, ...],
    in_key: NestedKey | None,
    in_keys: Sequence[NestedKey] | None,
    out_key: NestedKey | None,
    out_keys: Sequence[NestedKey] | None,
) -> RecurrentKeys:
    """Return the keys that the four arguments of a module name.

    Args:
        owner: class of the module, for messages.
        states: default names of its states.
        in_key: the input; states and flag have their default names.
        in_keys: input, states and, optionally, the flag.
        out_key: the output; the states go under "next".
        out_keys: output and states.

    Raises:
        RLError: both or neither of a pair is given, or a list has another length.
        SpecError: a state is not written where the next step reads it.
    """
    _one_of(owner, "in_key", in_key, in_keys)
    _one_of(owner, "out_key", out_key, out_keys)
    count = len(states)
    if in_keys is None:
        read = [unravel_key(in_key), *states, INIT_KEY]
    else:
        read = as_key_list(in_keys)
        if len(read) == 1 + count:
            read.append(INIT_KEY)
        if len(read) != 2 + count:
            raise _wrong_length(owner, "in_keys", read, ["input", *states, INIT_KEY])
    keys = RecurrentKeys(
        read[0], tuple(read[1:-1]), read[-1], None if out_key is None else unravel_key(out_key)
    )
    if out_keys is None:
        return keys
    written = as_key_list(out_keys)
    if len(written) != 1 + count:
        raise _wrong_length(owner, "out_keys", written, ["output", *map(in_next, states)])
    keys = RecurrentKeys(keys.source, keys.states, keys.init, written[0])
    if written != keys.written:
        raise SpecError(
            f"`{owner}` would write its state to {written[1:]}, where the next step does not read "
            f"it: it reads {list(keys.states)}. Write it to {keys.written[1:]}, or pass "
            "`out_key=`."
        )
    return keys


def _one_of(owner: str, name: str, one: object, many: object) -> None:
    if (one is None) is (many is None):
        given = "neither" if one is None else "both"
        raise RLError(
            f"`{owner}` got {given} of `{name}` and `{name}s`, expected one: `{name}` keeps the "
            f"default names of the states, `{name}s` lists them."
        )


def _wrong_length(owner: str, name: str, given: list, expected: list) -> RLError:
    return RLError(f"`{name}` of `{owner}` is {given}, expected {len(expected)} keys: {expected}.")
