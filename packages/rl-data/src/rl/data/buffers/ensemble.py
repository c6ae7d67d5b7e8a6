"""Several buffers read as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from tensordict import is_tensor_collection
from torch import Tensor

from rl.core.errors import SpecError
from rl.data.buffers.assembled import AnyTransform
from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.samplers.ensemble import SamplerEnsemble
from rl.data.storages.ensemble import StorageEnsemble
from rl.data.writers.ensemble import WriterEnsemble

__all__ = ["ReplayBufferEnsemble"]


class ReplayBufferEnsemble(ReplayBuffer):
    """Draws batches from several buffers, `[members, batch / members]`.

    Each member's rows pass its own `collate_fn` and transforms, then the parts are stacked and
    pass those of the ensemble. The members are written, not the ensemble: `ensemble[i].extend`.
    Members may be ensembles.

    Args:
        *rbs: the members, or
        storages: `StorageEnsemble`,
        samplers: `SamplerEnsemble`, and
        writers: `WriterEnsemble` of members.
        transform: applied to the stacked batch.
        batch_size: number of elements of a batch, over all members.
        collate_fn: turns the list of the parts into a batch. By default they are stacked; parts
            that differ in length stay a list.
        collate_fns: of each member, those of the buffers by default.
        p: weights of the members; `"sampleable"` for their sizes.
        sample_from_all: whether each member gives its part of every batch.
        num_buffer_sampled: number of parts, drawn with weights `p`, the number of members by
            default.
        generator: source of random numbers of the ensemble and its members; by default the
            global one of torch for the choice, and their own for members.

    Raises:
        TypeError: neither buffers nor all three ensembles are given, or both.
        ValueError: `p` is given with `sample_from_all`, or does not fit.

    Writes:
        index: a TensorDict with `buffer_ids` and `index`, `[members, batch / members]`.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> first, second = (TensorDictReplayBuffer(storage=LazyTensorStorage(9)) for _ in "ab")
        >>> rb = ReplayBufferEnsemble(first, second, sample_from_all=True, batch_size=4)
        >>> index = rb[0].extend(TensorDict({"x": torch.zeros(3)}, [3]))
        >>> index = rb[1].extend(TensorDict({"x": torch.ones(5)}, [5]))
        >>> rb.sample()["x"]
        tensor([[0., 0.],
                [1., 1.]])
    """

    def __init__(  # noqa: PLR0913
        self,
        *rbs: ReplayBuffer,
        storages: StorageEnsemble | None = None,
        samplers: SamplerEnsemble | None = None,
        writers: WriterEnsemble | None = None,
        transform: AnyTransform | None = None,
        batch_size: int | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        collate_fns: Sequence[Callable[[Any], Any] | None] | None = None,
        p: Sequence[float] | Tensor | str | None = None,
        sample_from_all: bool = False,
        num_buffer_sampled: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        parts = (storages, samplers, writers)
        if (rbs and any(parts)) or (not rbs and None in parts):
            raise TypeError(
                "Pass buffers, `ReplayBufferEnsemble(a, b)`, or all of `storages`, `samplers` and "
                "`writers`."
            )
        if not rbs:
            rbs = tuple(
                ReplayBuffer(storage=storage, sampler=sampler, writer=writer)
                for storage, sampler, writer in zip(
                    storages.storages, samplers.samplers, writers.writers, strict=True
                )
            )
            transforms = storages.transforms
            collate_fns = storages.collate_fns if collate_fns is None else collate_fns
            if p is not None or sample_from_all or num_buffer_sampled is not None:
                raise TypeError("Pass `p` and the like to the `SamplerEnsemble`.")
        else:
            transforms = [_Reader(rb) for rb in rbs]
            samplers = SamplerEnsemble(
                *(rb.sampler for rb in rbs),
                p=p,
                sample_from_all=sample_from_all,
                num_buffer_sampled=num_buffer_sampled,
            )
            writers = WriterEnsemble(*(rb.writer for rb in rbs))
            collate_fns = (
                [part.collate for part in transforms] if collate_fns is None else collate_fns
            )
        self._members = rbs
        storage = StorageEnsemble(
            *(rb.storage for rb in rbs), transforms=transforms, collate_fns=collate_fns
        )
        super().__init__(
            storage=storage,
            sampler=samplers,
            writer=writers,
            collate_fn=_stack if collate_fn is None else collate_fn,
            transform=transform,
            batch_size=batch_size,
            generator=generator,
        )

    def _connect(self) -> None:
        super()._connect()
        own = self._lock.own if isinstance(self._lock, _Locks) else self._lock
        parts = (self._storage, self._sampler, self._writer)
        self._lock = _Locks(own, self._members, parts)

    def _hear(self) -> None:
        for member in self._members:
            member._hear()

    def set_rng(self, generator: torch.Generator | None) -> None:
        """Set the source of random numbers of the ensemble and its members."""
        if generator is not None or self._sampler.generator is not None:
            super().set_rng(generator)

    def can_sample(self, batch_size: int | None = None) -> bool:
        """Return whether every member that a batch may come from has rows."""
        sampler = self._sampler
        left = [rb.sampler.available(rb.storage) for rb in self._members]
        if isinstance(sampler.p, str):
            return any(left)
        needed = [True] * len(left) if sampler.sample_from_all else (sampler.p > 0).tolist()
        return all(count > 0 for count, need in zip(left, needed, strict=True) if need)

    def empty(self, empty_write_count: bool = True) -> None:
        """Forget every row of every member."""
        with self._lock:
            for member in self._members:
                member.empty(empty_write_count)

    def update_priority(self, index: Any, priority: Tensor | float) -> None:  # noqa: ANN401
        """Set priorities; `index` and `priority` are `[members, n]`, as a sample has them."""
        with self._lock:
            for member in self._members:
                member._version += 1
            super().update_priority(index, priority)

    def _take_parts(self, state: dict[str, Any]) -> None:
        super()._take_parts(state)
        self._replaced()

    def _replaced(self) -> None:
        """Make members forget what they prepared or remember of rows that are there no more."""
        for member in self._members:
            member._version += 1
            member._transform.forget()
            if isinstance(member, ReplayBufferEnsemble):
                member._replaced()

    def _draw(self, batch_size: int) -> tuple[Any, dict[str, Any]]:
        self._hear()
        return super()._draw(batch_size)

    def _annotate(self, data: Any, info: dict[str, Any]) -> Any:  # noqa: ANN401
        if not is_tensor_collection(data) or isinstance(info["index"], list):
            return data
        if all(member.writer.writes_index for member in self._members):
            for key, value in info.items():
                if is_tensor_collection(value) or isinstance(value, Tensor):
                    data.set(key, value)
        return data

    def stats(self) -> dict[str, int | float | bool]:
        """Return counts and gauges over all members; see `ReplayBuffer.stats`."""
        size, capacity = len(self._storage), self._storage.max_size
        return {**super().stats(), "size": size, "utilization": size / capacity}

    def __len__(self) -> int:
        """Return the number of members; `len(ensemble.storage)` is that of rows."""
        return len(self._members)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Return a member (int), an ensemble of some (slice), or rows of each (a tuple)."""
        if isinstance(index, int):
            return self._members[index]
        if isinstance(index, slice):
            return self._slice(index)
        if not isinstance(index, tuple):
            raise IndexError(
                f"An ensemble is indexed by a number, a slice, or a tuple of a member and rows; "
                f"given a {type(index).__qualname__}."
            )
        first, *rest = index
        rows = rest[0] if len(rest) == 1 else tuple(rest)
        if isinstance(first, int):
            return self._members[first][rows]
        return _stack([member[rows] for member in self._members[first]])

    def _slice(self, index: slice) -> ReplayBufferEnsemble:
        sampler = self._sampler
        weighted = not sampler.sample_from_all and not isinstance(sampler.p, str)
        return ReplayBufferEnsemble(
            *self._members[index],
            batch_size=self._batch_size,
            collate_fn=self._collate,
            p=sampler.p[index] if weighted else (None if sampler.sample_from_all else sampler.p),
            sample_from_all=sampler.sample_from_all,
        )

    def __setitem__(self, index: Any, data: Any) -> None:  # noqa: ANN401
        """Raise a `RuntimeError`."""
        raise RuntimeError("An ensemble is written through its members: `ensemble[i][j] = row`.")

    def __repr__(self) -> str:
        members = ", ".join(map(repr, self._members))
        return f"{type(self).__name__}({members}, batch_size={self._batch_size})"


class _Reader:
    """The transforms of a buffer, as they are when it is read."""

    def __init__(self, buffer: ReplayBuffer) -> None:
        self._buffer = buffer

    def collate(self, rows: Any) -> Any:  # noqa: ANN401
        function = self._buffer.collate_fn
        return rows if function is None else function(rows)

    def __call__(self, data: Any) -> Any:  # noqa: ANN401
        transform = self._buffer.transform
        return transform(data) if len(transform) else data

    def state_dict(self) -> dict[str, Any]:
        return dict(self._buffer.transform.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._buffer.transform.load_state_dict(state_dict)


class _Locks:
    """The locks of an ensemble and its members, held at once and taken in one order.

    A batch and a write to a member exclude each other; who holds them sees the parts that the
    members have now.
    """

    def __init__(
        self,
        own: Any,  # noqa: ANN401
        members: Sequence[ReplayBuffer],
        parts: tuple[StorageEnsemble, SamplerEnsemble, WriterEnsemble],
    ) -> None:
        self.own = own
        self._members = members
        self._parts = parts
        self._held: list[ExitStack] = []

    def __enter__(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(self.own)
            for member in self._members:
                stack.enter_context(member._lock)
            storage, sampler, writer = self._parts
            storage.storages = tuple(member.storage for member in self._members)
            sampler.samplers = tuple(member.sampler for member in self._members)
            writer.writers = tuple(member.writer for member in self._members)
            self._held.append(stack.pop_all())

    def __exit__(self, *error: Any) -> None:
        self._held.pop().__exit__(*error)


def _stack(parts: list[Any]) -> Any:  # noqa: ANN401
    """Stack the parts of a batch; those that differ in length stay a list."""
    first = parts[0]
    if not all(isinstance(part, Tensor) or is_tensor_collection(part) for part in parts):
        return parts
    if any(part.shape[:1] != first.shape[:1] for part in parts):
        return parts
    if not isinstance(first, Tensor):
        keys = [set(part.keys(True, True)) for part in parts]
        odd = set.union(*keys) - set.intersection(*keys)
        if odd:
            raise SpecError(
                f"`{sorted(map(str, odd))[0]}` is in the rows of some members only. Give these a "
                "transform that drops or renames it, or pass `collate_fn=`."
            )
    return torch.stack(parts)
