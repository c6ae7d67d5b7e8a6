"""The replay buffer of TensorDicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from tensordict import TensorDictBase, is_tensor_collection, is_tensorclass
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.errors import MissingKeyError
from rl.data.buffers.batch import stack_index
from rl.data.buffers.in_place import overwrite
from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.buffers.row_priorities import row_priorities
from rl.data.writers.base import Writer
from rl.data.writers.round_robin import TensorDictRoundRobinWriter

__all__ = ["TensorDictReplayBuffer"]

_MANAGED = ("index", "priority_weight", "index_generation")


class TensorDictReplayBuffer(ReplayBuffer):
    """Keeps TensorDicts and hands out batches that know where their rows came from.

    Batches hold what the sampler tells, so that `update_tensordict_priority(batch)` needs nothing
    else. The entries that the buffer writes are its own: `"index"` and `"priority_weight"` in data
    that is written are left out.

    Args:
        priority_key: entry that holds priorities. If the sampler uses priorities, data that has
            the entry is written with these priorities, and the entry itself is not stored.
        kwargs: see `ReplayBuffer`; the writer is a `TensorDictRoundRobinWriter` by default.

    Reads:
        priority_key: [*B, ...] priorities, in `extend` if present, in `update_tensordict_priority`.
    Writes:
        index: [batch] int64 element numbers, or [batch, ndim] coordinates.
        priority_weight: [batch] float32, with a `PrioritizedSampler`.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> rb = TensorDictReplayBuffer(storage=LazyTensorStorage(10), batch_size=2)
        >>> index = rb.extend(TensorDict({"x": torch.arange(5)}, [5]))
        >>> batch = rb.sample()
        >>> bool((batch["x"] == batch["index"]).all())
        True
    """

    def __init__(self, *, priority_key: NestedKey = "td_error", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.priority_key = priority_key

    def _default_writer(self) -> Callable[[], Writer]:
        return TensorDictRoundRobinWriter

    def add(self, data: TensorDictBase) -> int | Tensor | None:
        """Write one row; see `ReplayBuffer.add`.

        Raises:
            TypeError: `data` is not a TensorDict.
        """
        data, priority = self._split(data, self._storage.ndim - 1)
        with self._lock:
            index = super().add(data)
            if priority is not None and index is not None:
                self.update_priority(torch.as_tensor(index), priority)
        return index

    def extend(
        self,
        tensordicts: TensorDictBase | list[TensorDictBase],
        *,
        update_priority: bool | None = None,
    ) -> Tensor:
        """Write a batch of rows; see `ReplayBuffer.extend`.

        Args:
            tensordicts: a TensorDict whose first dimension numbers rows, or a list of rows.
            update_priority: whether priorities in the data are taken; yes by default.

        Raises:
            TypeError: `tensordicts` is not a TensorDict.
            RLError: it has priorities, and a transform writes other rows than those given.
        """
        if isinstance(tensordicts, list | tuple) and all(map(is_tensor_collection, tensordicts)):
            tensordicts = torch.stack(list(tensordicts))
        data, priority = self._split(tensordicts, self._storage.ndim)
        if priority is not None and update_priority is not False:
            self._transform.check_immediate(self.priority_key)
        with self._lock:
            index = super().extend(data)
            if priority is not None and update_priority is not False:
                kept = slice(None) if self._writer.keeps_all else index >= 0
                self.update_priority(index[kept], priority[kept])
        return index

    def _split(self, data: Any, batch_dims: int) -> tuple[Any, Tensor | None]:  # noqa: ANN401
        """Return the data to store, and its checked priorities, one row per element."""
        if not is_tensor_collection(data):
            raise TypeError(
                f"`{type(self).__name__}` keeps TensorDicts, got a {type(data).__qualname__}. Make "
                "it a `TensorDict(..., batch_size=[n])`, or use `ReplayBuffer`."
            )
        self._check_fields(data)
        keys = data.keys()
        own = [key for key in _MANAGED if key in keys]
        priority = None
        if self._sampler.uses_priority:
            priority = data.get(self.priority_key, None)
            if priority is not None:
                self._refuse_priority_if_shared()
                own.append(self.priority_key)
                priority = self._by_element(priority, batch_dims)
        return (data.exclude(*own) if own else data), priority

    def _check_fields(self, data: Any) -> None:  # noqa: ANN401
        """Raise where samples could not tell what they tell: a tensorclass has fixed fields."""
        if not is_tensorclass(data):
            return
        told = ["index"] * self._writer.writes_index
        told += ["priority_weight"] * self._sampler.uses_priority
        missing = [name for name in told if name not in {f.name for f in fields(data)}]
        if missing:
            raise TypeError(
                f"Samples tell {missing}, for which `{type(data).__qualname__}` has no fields. Add "
                "fields of this name with the default None, or use `ReplayBuffer`."
            )

    def _refuse_priority_if_shared(self) -> None:
        if self._sharing is not None:
            raise RuntimeError(
                f"`{self.priority_key}` in rows written to a shared buffer does not reach the "
                "process that samples. Drop it; set priorities there with `update_priority`."
            )

    def _by_element(self, priority: Tensor, batch_dims: int) -> Tensor:
        if batch_dims == self._storage.ndim and self._dim_extend:
            priority = priority.transpose(0, self._dim_extend)
        count = priority.shape[:batch_dims].numel()
        priority = priority.reshape(count, -1)
        self._sampler.check_priority(priority, count)
        return priority

    def _annotate(self, data: Any, info: dict[str, Any]) -> Any:  # noqa: ANN401
        if is_tensor_collection(data):
            for key, value in info.items():
                data.set(key, stack_index(value))
        return data

    def _note_index(self, data: Any, index: Any) -> Any:  # noqa: ANN401
        storage = self._storage
        if not is_tensor_collection(data) or (storage.ndim > 1 and not self._transform.reads_rows):
            return data
        numbers = self._elements_at(index)
        noted = stack_index(storage.unravel(numbers))
        if self._dim_extend and numbers.ndim > self._dim_extend:
            noted = noted.transpose(0, self._dim_extend)
        return data.copy().set("index", noted)  # of a list it is the stored item itself

    def __setitem__(self, index: Any, data: TensorDictBase) -> None:  # noqa: ANN401
        """Overwrite rows; the sampler treats them as new, with the priorities that they have."""
        with self._lock:
            elements = self._elements_at(index)
            data, priority = self._split(data, elements.ndim)
            super().__setitem__(index, data)
            if priority is not None:
                self._sampler.update_priority(elements.reshape(-1), priority, storage=self._storage)

    def update_tensordict_priority(self, data: TensorDictBase) -> None:
        """Set the priorities of a batch, which has `"index"` and the priority entry.

        The batch may have been reshaped. Of the windows of a `Sequence`, the anchors get the
        largest priority of the window. Does nothing if the sampler uses no priorities.

        Raises:
            MissingKeyError: an entry is missing.
            ShapeError, SpecError: see `PrioritizedSampler.update_priority`.
        """
        if not self._sampler.uses_priority:
            return
        priority = data.get(self.priority_key, None)
        index = data.get("index", None)
        if priority is None or index is None:
            missing = "index" if index is None else self.priority_key
            raise MissingKeyError(
                f"`{missing}` is missing in the batch whose priorities are set; its keys are "
                f"{sorted(map(str, data.keys()))}. Pass the batch that `sample` returned, with the "
                f"`{self.priority_key}` that the loss wrote, or build the buffer with "
                "`priority_key=...`."
            )
        self.update_priority(*row_priorities(data, index, priority))

    # --------------------------------------------------------------- in place

    def set_(self, key: NestedKey, value: Tensor) -> TensorDictReplayBuffer:
        """Overwrite one entry of all rows; see `set_at_`."""
        return self._overwrite({key: value})

    def set_at_(self, key: NestedKey, value: Tensor, index: Any) -> TensorDictReplayBuffer:  # noqa: ANN401
        """Overwrite one entry of the rows at `index`; priorities stay.

        Raises:
            MissingKeyError, ShapeError, SpecError: the value does not fit; nothing is written.
        """
        return self._overwrite({key: value}, index)

    def update_(self, data: TensorDictBase) -> TensorDictReplayBuffer:
        """Overwrite the entries that `data` has, of all rows; see `set_at_`."""
        return self._overwrite(dict(data.items(True, True)))

    def _overwrite(
        self,
        patch: dict[NestedKey, Tensor],
        index: Any = slice(None),  # noqa: ANN401
    ) -> TensorDictReplayBuffer:
        self._refuse_if_shared("Overwriting entries")
        with self._lock:
            self._version += 1
            overwrite(self._storage, patch, index)
            self._edited()
        return self
