"""Where trajectories end: read from ids or flags of stored rows, or given once for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tensordict import NestedKey
from torch import Tensor

from rl.core.contract.keys import in_next, unravel_key
from rl.core.errors import MissingKeyError, ShapeError
from rl.data.storages.base import Storage

__all__ = ["DEFAULT_DONE_KEYS", "DEFAULT_TRAJECTORY_KEYS", "Boundaries"]

#: flags that end a trajectory, each below `"next"`
DEFAULT_DONE_KEYS = ("done", "truncated", "terminated")
#: entries that are looked for, in this order, where no key is given
DEFAULT_TRAJECTORY_KEYS: tuple[NestedKey, ...] = (("collector", "traj_ids"), "traj_ids", "episode")


class Boundaries:
    """Tells whether a trajectory ends between two neighbouring elements.

    Ids count if there are any, and end where they change; otherwise flags count, or both.

    Args:
        traj_key: the ids; looked for under the usual names if no key is given at all.
        end_key: the flags; `("next", "done")` if no key is given and there are no ids.
        end_keys: several flags, of which those that are stored count together.
        ends: all flags at once, one per element; the storage is not read.
        trajectories: all ids at once, one per element; the storage is not read.
        both: whether flags count beside ids.

    Raises:
        ValueError: arguments exclude each other.

    Example:
        >>> from rl.data.storages.tensor_storage import TensorStorage
        >>> storage = TensorStorage({"episode": torch.tensor([0, 0, 1])})
        >>> Boundaries().after(storage, np.array([0, 1]), np.array([1, 2]))
        array([False,  True])
    """

    def __init__(
        self,
        traj_key: NestedKey | None = None,
        end_key: NestedKey | None = None,
        end_keys: Sequence[NestedKey] | None = None,
        ends: Tensor | None = None,
        trajectories: Tensor | None = None,
        *,
        both: bool = False,
    ) -> None:
        _check_exclusive(traj_key, end_key, end_keys, ends, trajectories)
        given = traj_key is not None or end_key is not None or end_keys is not None
        self._id_keys = (traj_key,) if given else DEFAULT_TRAJECTORY_KEYS
        self._id_keys = tuple(unravel_key(key) for key in self._id_keys if key is not None)
        if end_keys is not None:
            self._end_keys = tuple(unravel_key(key) for key in end_keys)
        elif end_key is not None or not given:
            self._end_keys = (unravel_key(end_key or in_next("done")),)
        else:
            self._end_keys = ()
        self._ends = None if ends is None else _flat(ends, "ends").astype(bool)
        self._ids = None if trajectories is None else _flat(trajectories, "trajectories")
        self._both = both
        # the ids and the flags that the storage turned out to have, of those that count
        self._found: tuple[list[NestedKey], list[NestedKey]] | None = None

    @property
    def static(self) -> int | None:
        """Number of elements that flags or ids were given for; None if they are read."""
        given = self._ends if self._ends is not None else self._ids
        return None if given is None else len(given)

    def forget(self) -> None:
        """Look for the keys anew: the rows may be others."""
        self._found = None

    def after(self, storage: Storage, here: np.ndarray, following: np.ndarray) -> np.ndarray:
        """Return whether a trajectory ends between elements and those that follow them.

        Args:
            storage: where the elements are.
            here: [k] int64 element numbers.
            following: [k] int64, numbers of the elements one step later.

        Raises:
            MissingKeyError: the rows have neither ids nor flags.
        """
        if self._ends is not None:
            return self._ends.take(here)
        if self._ids is not None:
            return self._ids.take(here) != self._ids.take(following)
        ids, flags = self._keys_of(storage, here)
        ends = np.zeros(here.shape, bool)
        for key in ids:
            own = _rows(storage.entry(key, torch.from_numpy(here)))
            later = _rows(storage.entry(key, torch.from_numpy(following)))
            ends |= (own != later).any(1)
        for key in flags:
            ends |= _rows(storage.entry(key, torch.from_numpy(here))).any(1)
        return ends

    def _keys_of(
        self, storage: Storage, here: np.ndarray
    ) -> tuple[list[NestedKey], list[NestedKey]]:
        if self._found is None:
            one = torch.from_numpy(here[:1])
            ids = [key for key in self._id_keys if storage.entry(key, one) is not None]
            flags = [key for key in self._end_keys if storage.entry(key, one) is not None]
            if not ids and not flags:
                looked = [*self._id_keys, *self._end_keys]
                raise MissingKeyError(
                    f"The stored rows have none of {looked}, which tell trajectories apart. Store "
                    "one, or name yours with `traj_key=` (ids) or `end_key=` (flags); rows must "
                    "be TensorDicts or dicts."
                )
            self._found = ids[:1], [] if ids and not self._both else flags
        return self._found


def _check_exclusive(
    traj_key: NestedKey | None,
    end_key: NestedKey | None,
    end_keys: Sequence[NestedKey] | None,
    ends: Tensor | None,
    trajectories: Tensor | None,
) -> None:
    if end_key is not None and end_keys is not None:
        raise ValueError("Pass `end_key` or `end_keys`, not both.")
    if isinstance(end_keys, str) or (end_keys is not None and not end_keys):
        raise ValueError(f"`end_keys` is {end_keys!r}, expected a list of at least one key.")
    if ends is not None and trajectories is not None:
        raise ValueError("Pass `ends` or `trajectories`, not both.")
    keys = {"traj_key": traj_key, "end_key": end_key, "end_keys": end_keys}
    named = [name for name, value in keys.items() if value is not None]
    if named and (ends is not None or trajectories is not None):
        given = "ends" if ends is not None else "trajectories"
        raise ValueError(
            f"`{given}` holds what `{named[0]}` would be read for: pass one of the two."
        )


def _flat(given: Tensor, name: str) -> np.ndarray:
    if given.numel() == 0:
        raise ShapeError(f"`{name}` is empty, expected one entry per element of the storage.")
    return given.detach().cpu().reshape(-1).numpy()


def _rows(entry: Tensor | None) -> np.ndarray:
    if entry is None:
        raise MissingKeyError(
            "Some of the stored rows lack the entry that tells trajectories apart, others have it. "
            "Write it with every row."
        )
    return entry.detach().cpu().reshape(len(entry), -1).numpy()
