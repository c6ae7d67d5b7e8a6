"""ObservationTransform: the base of transforms of observations, with their default keys."""

from __future__ import annotations

from collections.abc import Sequence

from rl.core.contract.keys import NestedKey
from rl.core.specs import Composite
from rl.core.transform import Transform

__all__ = ["OBSERVATION_KEYS", "ObservationTransform", "fed_back_keys"]

OBSERVATION_KEYS: tuple[NestedKey, ...] = ("observation", "pixels", "observation_state")


def fed_back_keys(transform: Transform) -> set[NestedKey]:
    """Return the observations that a step before `transform` reads back: states, such as sums.

    A transform of "every observation" leaves them out: changing them would change the next step.
    """
    parent = transform.parent
    return set() if parent is None else set(parent.full_state_spec.keys(True, True))


class ObservationTransform(Transform):
    """A transform of observations: `observation`, `pixels` and `observation_state` by default.

    With the default keys, those that the env does not have are left out; keys that were given have
    to exist.

    Args:
        in_keys: observations read.
        out_keys: keys written; `in_keys` by default.
        in_keys_inv: inputs as the inner env names them.
        out_keys_inv: the same inputs as the outside names them.

    Example:
        >>> ObservationTransform().in_keys
        ['observation', 'pixels', 'observation_state']
    """

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        in_keys_inv: Sequence[NestedKey] | None = None,
        out_keys_inv: Sequence[NestedKey] | None = None,
    ) -> None:
        self._optional_keys = in_keys is None
        super().__init__(
            in_keys=list(OBSERVATION_KEYS) if in_keys is None else in_keys,
            out_keys=out_keys,
            in_keys_inv=in_keys_inv,
            out_keys_inv=out_keys_inv,
        )

    def _check_in_keys(self, output_spec: Composite) -> None:
        if not self._optional_keys:
            super()._check_in_keys(output_spec)
