"""Windows of rows around each anchor."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from tensordict import NestedKey
from torch import Tensor

from rl.core.contract.keys import unravel_key
from rl.core.errors import MissingKeyError
from rl.data.sample_units.base import SampleUnit
from rl.data.storages.base import Storage

__all__ = ["Sequence"]

Boundary = Literal["pad", "stop", "include_reset"]


class Sequence(SampleUnit):
    """Each anchor is the first of `length` rows to learn from, with rows around them.

    A window has `burn_in` rows before the anchor, which a recurrent module reads to find its
    state; `length` rows from the anchor on; and `bootstrap` rows after those, for targets. It is
    `burn_in + length + bootstrap` rows of the batch, which is flat: `batch.reshape(num_anchors,
    -1)` gives it a time dimension. No window goes from the newest row to the oldest.

    Rows outside of a window's bounds are replaced by the nearest row inside of them, and are
    false in `validity_mask`. Learn where `learning_mask & validity_mask`.

    Args:
        length: number of rows to learn from.
        episode_boundary: what happens at the end of the anchor's trajectory. `"pad"`: nothing
            after it is valid. `"stop"`: a window that would pass it starts earlier, so that it ends
            there, but not before its trajectory starts. `"include_reset"`: nothing, windows go on.
            Rows before the start of the trajectory are not valid in the first two.
        done_key: flag of last steps; None: all rows are one trajectory.
        burn_in: number of rows before the anchor.
        bootstrap: number of rows after those to learn from.
        dilation: distance between rows of a window that follow each other.

    Writes:
        learning_mask: [batch] bool, true at the `length` rows.
        validity_mask: [batch] bool.
        anchor_index: [batch] int64 numbers of the anchors as they were drawn, or
            [batch, ndim] coordinates.
        sequence_id: [batch] int64 number of the window in the batch.
        step_in_sequence: [batch] int64 number of the row in its window.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> from rl.data import LazyTensorStorage
        >>> storage = LazyTensorStorage(10)
        >>> done = torch.arange(10) % 5 == 4
        >>> storage.set(range(10), {"next": {"done": done}})
        >>> unit = Sequence(length=2, burn_in=1, bootstrap=1)
        >>> index, info = unit.expand(torch.tensor([5]), {}, storage)
        >>> index.tolist(), info["validity_mask"].tolist(), info["learning_mask"].tolist()
        ([5, 5, 6, 7], [False, True, True, True], [False, True, True, False])
    """

    def __init__(
        self,
        length: int,
        episode_boundary: Boundary = "pad",
        done_key: NestedKey | None = ("next", "done"),
        burn_in: int = 0,
        bootstrap: int = 0,
        dilation: int = 1,
    ) -> None:
        if episode_boundary not in get_args(Boundary):
            raise ValueError(
                f"`episode_boundary` is {episode_boundary!r}, expected one of {get_args(Boundary)}."
            )
        least = {"length": 1, "burn_in": 0, "bootstrap": 0, "dilation": 1}
        given = {"length": length, "burn_in": burn_in, "bootstrap": bootstrap, "dilation": dilation}
        for name, value in given.items():
            if value < least[name]:
                raise ValueError(f"`{name}` is {value}, expected at least {least[name]}.")
        self.length = length
        self.episode_boundary = episode_boundary
        self.done_key = None if done_key is None else unravel_key(done_key)
        self.burn_in = burn_in
        self.bootstrap = bootstrap
        self.dilation = dilation
        self._before = burn_in * dilation
        self._after = (length + bootstrap - 1) * dilation

    @property
    def size(self) -> int:
        """Number of rows in a window."""
        return self.burn_in + self.length + self.bootstrap

    def expand(
        self,
        index: Any,  # noqa: ANN401
        info: dict[str, Any],
        storage: Storage,
    ) -> tuple[Any, dict[str, Any]]:
        """Return the rows of the windows, and the masks beside what is known of the anchors.

        Raises:
            MissingKeyError: the rows lack `done_key`.
        """
        elements = _numbers(index, storage)
        row, column = elements // storage.inner_size, elements % storage.inner_size
        used = storage.num_rows
        newest = storage.newest
        oldest = (used if newest is None else newest + 1) % used
        age = (row - oldest) % used  # 0 is the oldest row, used - 1 the newest

        def number(age_BT: Tensor) -> Tensor:
            return (age_BT + oldest) % used * storage.inner_size + column[:, None]

        first, last = self._bounds(age, used, lambda at: self._done(storage, number(at)))
        anchor = age
        if self.episode_boundary == "stop":
            anchor = torch.minimum(age, torch.maximum(last - self._after, first))
        offset = torch.arange(-self._before, self._after + 1, self.dilation)
        wanted = anchor[:, None] + offset
        inside = wanted.clamp(first[:, None], last[:, None])
        told = {key: _per_row(value, self.size) for key, value in info.items()}
        told.update(self._masks(len(age), wanted == inside))
        told["anchor_index"] = _per_row(_stacked(index), self.size)
        return storage.unravel(number(inside).reshape(-1)), told

    def _bounds(self, age: Tensor, used: int, done: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Return the ages of the first and the last row of each window's trajectory.

        They are exact as far as a window reaches.
        """
        first, last = torch.zeros_like(age), torch.full_like(age, used - 1)
        if self.done_key is None or self.episode_boundary == "include_reset":
            return first, last
        reach = min(self._after, used)
        if reach:
            ahead = age[:, None] + torch.arange(reach)
            ends = done(ahead.clamp(max=used - 1)) & (ahead < used)
            last = torch.where(ends, ahead, used - 1).amin(1)
        reach = min(self._before + self._after, used)
        if reach:
            behind = age[:, None] - torch.arange(1, reach + 1)
            ends = done(behind.clamp(min=0)) & (behind >= 0)
            first = torch.where(ends, behind + 1, 0).amax(1)
        return first, last

    def _done(self, storage: Storage, number: Tensor) -> Tensor:
        done = storage.entry(self.done_key, number.reshape(-1))
        if done is None:
            raise MissingKeyError(
                f"`Sequence` reads `{self.done_key}`, which the stored rows lack: store it, name "
                "another flag with `done_key=`, or pass `done_key=None`."
            )
        return done.reshape(*number.shape, -1).any(-1).cpu()

    def _masks(self, count: int, valid: Tensor) -> dict[str, Tensor]:
        step = torch.arange(self.size)
        learn = (step >= self.burn_in) & (step < self.burn_in + self.length)
        return {
            "learning_mask": learn.repeat(count),
            "validity_mask": valid.reshape(-1),
            "sequence_id": torch.arange(count).repeat_interleave(self.size),
            "step_in_sequence": step.repeat(count),
        }

    def __repr__(self) -> str:
        return (
            f"Sequence(length={self.length}, episode_boundary={self.episode_boundary!r}, "
            f"burn_in={self.burn_in}, bootstrap={self.bootstrap}, dilation={self.dilation})"
        )


def _stacked(index: Any) -> Tensor:  # noqa: ANN401
    return torch.stack(index, -1) if isinstance(index, tuple) else index


def _numbers(index: Any, storage: Storage) -> Tensor:  # noqa: ANN401
    return storage.ravel(_stacked(index)).cpu()


def _per_row(value: Any, size: int) -> Any:  # noqa: ANN401
    return value.repeat_interleave(size, 0) if isinstance(value, Tensor) else value
