"""Next observations that are not stored, read from the rows that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, in_next
from rl.core.errors import MissingKeyError, RLError, ShapeError, SpecError
from rl.core.specs import Composite
from rl.core.transform import Transform
from rl.data.transforms.neighbours import Neighbours, buffer_of
from rl.data.transforms.trajectories import TRAJ_KEY, any_feature

__all__ = ["NextStateReconstructor"]


class NextStateReconstructor(Transform):
    """Rebuild `("next", key)` from `key` of the following row, for data collected without it.

    In a buffer, the row that follows each sampled one in the storage is read, so that random
    transitions and the ends of slices have their next state too. A row has none if it ends its
    trajectory, or if the next one was not written yet or is already overwritten: it gets
    `fill_value`. Outside of a buffer (`postproc`, plain batches), the row that follows in the batch
    is taken, where it is of the same trajectory.

    Args:
        keys: entries at the root.
        traj_key: ids of trajectories; None goes by `done_key` alone.
        done_key: the flag that ends a trajectory; None goes by `traj_key` alone (not in a buffer).
        step_count_key: where given, the following row must also count one step more.
        fill_value: what stands for states that are not known.
        strict: whether missing entries of `keys` and `traj_key` raise; otherwise they are passed
            over.

    Reads:
        keys: `[batch, ...]`.
        index: `[batch]` or `[batch, ndim]`, in a buffer.
    Writes:
        ("next", key): `[batch, ...]`.

    Example:
        >>> from tensordict import TensorDict
        >>> done = torch.tensor([[False], [True], [False]])
        >>> data = TensorDict({"observation": torch.arange(3.0), "next": {"done": done}}, [3])
        >>> NextStateReconstructor(traj_key=None)(data)["next", "observation"]
        tensor([1., nan, nan])
    """

    #: reads rows that are not in the batch
    reads_rows = True

    def __init__(
        self,
        keys: Sequence[NestedKey] = ("observation",),
        *,
        traj_key: NestedKey | None = TRAJ_KEY,
        done_key: NestedKey | None = ("next", "done"),
        step_count_key: NestedKey | None = None,
        fill_value: float = math.nan,
        strict: bool = True,
    ) -> None:
        # a tuple of keys, as the default is, not one nested key
        names = [keys] if isinstance(keys, str) else list(keys)
        super().__init__(in_keys=names, out_keys=[in_next(key) for key in names])
        if traj_key is None and done_key is None:
            raise SpecError("Nothing tells trajectories apart: give `traj_key` or `done_key`.")
        self.traj_key = traj_key
        self.done_key = done_key
        self.step_count_key = step_count_key
        self.fill_value = fill_value
        self.strict = strict

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the next states.

        Raises:
            MissingKeyError: an entry is missing.
            ShapeError: the batch has no dimension, or outside of a buffer several.
            SpecError: an unknown state of integers has no `fill_value` that they can hold.
        """
        keys = [key for key in self.in_keys if self._has(tensordict, key)]
        if self.traj_key is not None:
            self._has(tensordict, self.traj_key)
        if self._in_buffer():
            found = self._from_rows(tensordict, keys)
        else:
            found = self._from_batch(tensordict, keys)
        states, known = found
        for key, state in zip(keys, states, strict=True):
            tensordict.set(in_next(key), self._filled(key, state, known))
        return tensordict

    def _has(self, data: TensorDictBase, key: NestedKey) -> bool:
        if data.get(key, None) is not None:
            return True
        if self.strict:
            raise MissingKeyError(
                f"`NextStateReconstructor` reads `{key}`, which is not in the batch; its keys are "
                f"{sorted(map(str, data.keys(True, True)))}. Name others, or pass `strict=False`."
            )
        return False

    def _in_buffer(self) -> bool:
        try:
            buffer_of(self)
        except RLError:
            return False
        return True

    def _from_rows(
        self, data: TensorDictBase, keys: list[NestedKey]
    ) -> tuple[list[Tensor], Tensor]:
        buffer = buffer_of(self)
        index = data.get("index", None)
        if index is None or self.done_key is None:
            missing = "index" if index is None else "done_key"
            raise MissingKeyError(
                f"`NextStateReconstructor` needs `{missing}` in a buffer: use a "
                "`TensorDictReplayBuffer`, whose batches have `index`, and name the done flag."
            )
        rows = Neighbours(
            buffer.storage,
            buffer.writer,
            self.done_key,
            self.traj_key,
            owner="NextStateReconstructor",
        )
        elements = buffer.storage.ravel(index).reshape(-1)
        after, known = rows.following(elements)
        if self.step_count_key is not None:
            now, then = (rows.take(self.step_count_key, e) for e in (elements, after))
            known = known & ~any_feature(then != now + 1, 1)
        states = [rows.take(key, after) for key in keys]
        shape = data.shape
        return [state.reshape(*shape, *state.shape[1:]) for state in states], known.reshape(shape)

    def _from_batch(
        self, data: TensorDictBase, keys: list[NestedKey]
    ) -> tuple[list[Tensor], Tensor]:
        if data.ndim != 1:
            raise ShapeError(
                f"The batch has shape {list(data.shape)}, expected `[T]`, rows that follow each "
                "other: flatten it, or give the transform to a buffer."
            )
        known = torch.ones(len(data), dtype=torch.bool)
        known[-1:] = False
        if self.done_key is not None and data.get(self.done_key, None) is not None:
            known &= ~any_feature(data.get(self.done_key), 1)
        for key, step in ((self.traj_key, 0), (self.step_count_key, 1)):
            value = None if key is None else data.get(key, None)
            if value is not None:
                known &= ~any_feature(value.roll(-1, 0) != value + step, 1)
        return [data.get(key).roll(-1, 0) for key in keys], known

    def _filled(self, key: NestedKey, state: Tensor, known: Tensor) -> Tensor:
        known = known.to(state.device)
        if not state.is_floating_point() and self.fill_value != self.fill_value:
            if bool(known.all()):
                return state
            raise SpecError(
                f"`{key}` has dtype {state.dtype}, which holds no NaN, and the batch has states "
                "that are not known: pass `fill_value=0`."
            )
        wide = known.reshape(*known.shape, *[1] * (state.ndim - known.ndim))
        return torch.where(wide, state, torch.full_like(state, self.fill_value))

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Refuse to work in an env.

        Raises:
            RLError: always.
        """
        raise RLError(
            "`NextStateReconstructor` reads the row that follows: give it to "
            "`ReplayBuffer(transform=...)`."
        )
