"""The replay buffer: a storage, a sampler and a writer put together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from tensordict import is_tensor_collection
from torch import Tensor, nn

from rl.core.transform import Compose, Transform, as_transform
from rl.data.buffers.batch import batch_dims, check_pinning, pin, stack_index, transpose
from rl.data.buffers.chain import BufferChain
from rl.data.buffers.inverted import Inverted
from rl.data.buffers.parts import check_parts, check_size, make_part, state_of_parts, take_parts
from rl.data.buffers.prefetch import Prefetcher
from rl.data.sample_units import SampleUnit, Transition
from rl.data.samplers.base import Sampler
from rl.data.samplers.random_sampler import RandomSampler
from rl.data.storages.base import Storage
from rl.data.storages.list_storage import ListStorage, stack_items
from rl.data.storages.saving import apply_rows, read_saved, save_storage
from rl.data.writers.base import Writer
from rl.data.writers.round_robin import RoundRobinWriter

__all__ = ["ReplayBuffer"]

AnyTransform = Transform | nn.Module | Callable[[Any], Any]


class ReplayBuffer:
    """Keeps data of any kind and hands out batches of it.

    Where the rows live is the matter of the storage, which of them make a batch that of the
    sampler, and which row a new one replaces that of the writer. Adding and sampling from several
    threads is safe.

    Args:
        storage: a storage, or a function that makes one; `ListStorage(1000)` by default.
        sampler: a sampler, or a function that makes one; `RandomSampler()` by default.
        sample_unit: what each drawn element becomes in a batch; one row by default.
        writer: a writer, or a function that makes one; `RoundRobinWriter()` by default.
        collate_fn: turns what the storage returns into a batch. By default the items of a
            `ListStorage` are stacked, and the batches of other storages stay as they are.
        pin_memory: whether batches are put in pinned memory.
        prefetch: number of batches that threads prepare ahead. They equal those that would be
            prepared on demand; see `rl.data.buffers.prefetch`.
        transform: applied to batches; its inverse is applied to what is written.
        transform_factory: makes the transform, in place of `transform`.
        batch_size: size of a batch; may be given to `sample` instead.
        dim_extend: dimension of the data along which `extend` grows the buffer, the last of the
            storage's `ndim` by default.
        generator: source of the sampler's random numbers, the global one of torch by default.

    Raises:
        TypeError: a part is not of its kind.
        ValueError: parts do not fit together.
        RuntimeError: `pin_memory` without an accelerator.

    Example:
        >>> from rl.data import LazyTensorStorage, ReplayBuffer
        >>> rb = ReplayBuffer(storage=LazyTensorStorage(100), batch_size=4)
        >>> index = rb.extend({"x": torch.arange(10)})
        >>> rb.sample()["x"].shape, len(rb)
        (torch.Size([4]), 10)
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        storage: Storage | Callable[[], Storage] | None = None,
        sampler: Sampler | Callable[[], Sampler] | None = None,
        sample_unit: SampleUnit | None = None,
        writer: Writer | Callable[[], Writer] | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        prefetch: int | None = None,
        transform: AnyTransform | None = None,
        transform_factory: Callable[[], AnyTransform] | None = None,
        batch_size: int | None = None,
        dim_extend: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if pin_memory:
            check_pinning()
        if transform is not None and transform_factory is not None:
            raise ValueError("Pass `transform` or `transform_factory`, not both.")
        self._storage = make_part("storage", storage, Storage, ListStorage)
        self._sampler = make_part("sampler", sampler, Sampler, RandomSampler)
        self._sample_unit = make_part("sample_unit", sample_unit, SampleUnit, Transition)
        self._writer = make_part("writer", writer, Writer, self._default_writer())
        self._custom_collate = collate_fn is not None
        self._collate = collate_fn if collate_fn is not None else self._default_collate()
        self._pin_memory = pin_memory
        self._batch_size = None if batch_size is None else check_size("batch_size", batch_size)
        self._prefetch = check_size("prefetch", prefetch) if prefetch else 0
        self._given_dim_extend = dim_extend
        self._transform = BufferChain(self)
        self._lock = threading.RLock()
        # counts changes of rows and priorities: tells prefetched batches that they are stale
        self._version = 0
        self._iterator: Iterator[Any] | None = None
        self._connect()
        self.set_rng(generator)
        made = transform_factory() if transform_factory is not None else transform
        if made is not None:
            self.append_transform(made)

    def _default_writer(self) -> Callable[[], Writer]:
        return RoundRobinWriter

    def _default_collate(self) -> Callable[[Any], Any] | None:
        return stack_items if isinstance(self._storage, ListStorage) else None

    def _connect(self) -> None:
        """Introduce the parts to each other."""
        self._sampler.prepare(self._storage)
        self._writer.register_storage(self._storage)
        self._storage.attach(self)
        last = self._storage.ndim - 1
        self._dim_extend = last if self._given_dim_extend is None else self._given_dim_extend
        if not 0 <= self._dim_extend <= last:
            raise ValueError(
                f"`dim_extend` is {self._dim_extend}, the storage has ndim={self._storage.ndim}: "
                f"expected 0 to {last}. Pass `ndim={self._dim_extend + 1}` to the storage."
            )
        self._prefetcher = None
        if self._prefetch:
            self._prefetcher = Prefetcher(self._prefetch, self._sampler, self._draw, self._fetch)

    # ----------------------------------------------------------------- parts

    @property
    def storage(self) -> Storage:
        """Where the rows live."""
        return self._storage

    @property
    def sampler(self) -> Sampler:
        """Which rows make a batch."""
        return self._sampler

    @property
    def writer(self) -> Writer:
        """Which row a new one replaces."""
        return self._writer

    @property
    def transform(self) -> Compose:
        """The transforms of batches."""
        return self._transform

    @property
    def batch_size(self) -> int | None:
        """Size of a batch unless `sample` is told another."""
        return self._batch_size

    @property
    def dim_extend(self) -> int:
        """Dimension of the data along which the buffer grows."""
        return self._dim_extend

    @property
    def write_count(self) -> int:
        """Number of rows written since the buffer was last emptied."""
        return self._writer.write_count

    def set_storage(
        self, storage: Storage, collate_fn: Callable[[Any], Any] | None = None
    ) -> Storage:
        """Replace the storage; return the previous one."""
        with self._lock:
            previous, self._storage = self._storage, storage
            self._custom_collate = collate_fn is not None
            self._collate = collate_fn if collate_fn is not None else self._default_collate()
            self._reconnect()
        return previous

    def set_sampler(self, sampler: Sampler) -> Sampler:
        """Replace the sampler; return the previous one."""
        with self._lock:
            previous, self._sampler = self._sampler, sampler
            sampler.generator = previous.generator
            self._reconnect()
        return previous

    def set_writer(self, writer: Writer) -> Writer:
        """Replace the writer; return the previous one."""
        with self._lock:
            previous, self._writer = self._writer, writer
            self._reconnect()
        return previous

    def _reconnect(self) -> None:
        self.shutdown()
        self._version += 1
        self._connect()

    def set_rng(self, generator: torch.Generator | None) -> None:
        """Set the source of the sampler's random numbers."""
        self._sampler.generator = generator

    def append_transform(self, transform: AnyTransform, *, invert: bool = False) -> ReplayBuffer:
        """Add a transform after the others.

        Args:
            transform: a `Transform`, a module or a function, which takes and returns a batch.
            invert: apply the inverse to batches, and the transform to what is written.
        """
        return self.insert_transform(len(self._transform), transform, invert=invert)

    def insert_transform(
        self, index: int, transform: AnyTransform, *, invert: bool = False
    ) -> ReplayBuffer:
        """Add a transform before position `index`; see `append_transform`."""
        transform = as_transform(transform)
        with self._lock:
            self._transform.insert(index, Inverted(transform) if invert else transform)
        return self

    # --------------------------------------------------------------- writing

    def add(self, data: Any) -> int | Tensor:  # noqa: ANN401
        """Write one row.

        Returns:
            The element's number, or the coordinates of the row's elements with `ndim > 1`.

        Raises:
            MissingKeyError, SpecError, ShapeError: the row differs from the first; nothing changes.
        """
        with self._lock:
            self._transform.check_unordered("add")
            with self._transform.writing():
                data = self._inverse(data)
                self._transform.before_write(self._storage, None)
                self._version += 1
                elements = self._writer.add(data)
            self._sampler.add(elements)
        return self._public_index(elements) if self._storage.ndim > 1 else int(elements[0])

    def extend(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write a batch of rows.

        Returns:
            The numbers of the elements, `[n]`, or their coordinates, `[n, ndim]`, with `ndim > 1`.

        Raises:
            MissingKeyError, SpecError, ShapeError: the rows differ from the first rows, or are more
                than the buffer has room for; the buffer is unchanged.
        """
        with self._lock:
            with self._transform.writing():
                data = self._inverse(data)
                if self._dim_extend:
                    data = transpose(data, self._dim_extend)
                self._transform.before_write(self._storage, data)
                self._version += 1
                elements = self._writer.extend(data)
            self._sampler.extend(elements)
            return self._public_index(elements)

    def _inverse(self, data: Any) -> Any:  # noqa: ANN401
        return self._transform.inv(data) if self._transform.has_inverse else data

    def _public_index(self, elements: Tensor) -> Tensor:
        if self._storage.ndim == 1:
            return elements
        return torch.stack(self._storage.unravel(elements), -1)

    def empty(self, empty_write_count: bool = True) -> None:
        """Forget every row.

        Args:
            empty_write_count: whether `write_count` starts over.
        """
        with self._lock:
            self._version += 1
            self._writer.empty(empty_write_count)
            self._storage.empty()
            self._sampler.empty()
            self._transform.forget()

    def update_priority(self, index: Any, priority: Tensor | float) -> None:  # noqa: ANN401
        """Set priorities.

        Args:
            index: element numbers `[n]`, or coordinates `[n, ndim]` as samples hold them.
            priority: one per element, or one for all; not negative.

        Raises:
            ShapeError, SpecError, IndexError: see `PrioritizedSampler.update_priority`.
        """
        with self._lock:
            self._version += 1
            elements = self._storage.ravel(index)
            self._sampler.update_priority(elements, priority, storage=self._storage)

    def mark_update(self, index: Any) -> None:  # noqa: ANN401
        """Tell the sampler that elements were overwritten in place."""
        with self._lock:
            self._version += 1
            self._sampler.mark_update(self._storage.ravel(index), storage=self._storage)

    # -------------------------------------------------------------- sampling

    def sample(self, batch_size: int | None = None, return_info: bool = False) -> Any:  # noqa: ANN401
        """Return a batch.

        Args:
            batch_size: size of the batch, that of the constructor by default.
            return_info: whether to return a pair, whose second part is a dict with `"index"` and
                what the sampler tells, such as `"priority_weight"`.

        Raises:
            RuntimeError: the buffer is empty, or no batch size was given here or to the
                constructor.
        """
        size = self._size_of_batch(batch_size)
        with self._lock:
            if self._prefetcher is None:
                draw = self._draw(size)
                data = self._fetch(draw)
            else:
                draw, data = self._prefetcher.next(size, self._version)
            info = {"index": draw[0], **draw[1]}
            data = self._annotate(data, info)
            held = self._transform.reads_rows  # run it before another thread writes
            if held:
                data = self._transform(data)
        data = data if held else self._transform.on_rows(data)
        return (data, info) if return_info else data

    def _draw(self, batch_size: int) -> tuple[Any, dict[str, Any]]:
        draw = self._sampler.sample(self._storage, batch_size)
        return self._sample_unit.expand(*draw, self._storage)

    def _fetch(self, draw: tuple[Any, dict[str, Any]]) -> Any:  # noqa: ANN401
        data = self._storage.get(draw[0])
        if self._collate is not None:
            data = self._collate(data)
        return pin(data) if self._pin_memory else data

    def _annotate(self, data: Any, info: dict[str, Any]) -> Any:  # noqa: ANN401
        """Note in the batch what samples get to know about the draw."""
        if self._writer.writes_index and is_tensor_collection(data):
            data.set("index", stack_index(info["index"]))
        return data

    def _size_of_batch(self, batch_size: int | None) -> int:
        if batch_size is not None:
            return check_size("batch_size", batch_size)
        if self._batch_size is None:
            raise RuntimeError(
                "No batch size is known. Pass `batch_size=` to the buffer's constructor or to "
                "`sample`."
            )
        return self._batch_size

    def can_sample(self, batch_size: int | None = None) -> bool:
        """Return whether the buffer holds at least a batch (at least one row if of any size)."""
        return len(self) >= (batch_size or self._batch_size or 1)

    def __iter__(self) -> Iterator[Any]:
        """Sample until a pass over the data is over; without end if the sampler has no passes."""
        self._size_of_batch(None)
        self._sampler.ran_out = False
        while not self._sampler.ran_out:
            yield self.sample()

    def next(self) -> Any:  # noqa: ANN401
        """Return the next batch of an iteration over the buffer, None at its end."""
        if self._iterator is None:
            self._iterator = iter(self)
        batch = next(self._iterator, None)
        if batch is None:
            self._iterator = None
        return batch

    # ----------------------------------------------------------------- rows

    def __len__(self) -> int:
        return len(self._storage)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Return rows, transformed as batches are.

        Raises:
            IndexError: the index is out of range.
        """
        with self._lock:
            data = self._storage[index]
            if len(self._transform) and is_tensor_collection(data):
                data = data.clone()  # a slice is a view, which a transform may change in place
            if isinstance(index, slice) and isinstance(self._storage, ListStorage):
                data = data if self._collate is None else self._collate(data)
            if self._dim_extend and batch_dims(data) > self._dim_extend:
                data = transpose(data, self._dim_extend)
            return self._transform.on_rows(self._note_index(data, index))

    def _note_index(self, data: Any, index: Any) -> Any:  # noqa: ANN401
        """Note in rows which `buffer[index]` they are, where the buffer does so."""
        return data

    def __setitem__(self, index: Any, data: Any) -> None:  # noqa: ANN401
        """Overwrite rows; the sampler treats them as new.

        Raises:
            IndexError, MissingKeyError, SpecError, ShapeError: index or data do not fit; the buffer
                is unchanged.
        """
        with self._lock:
            self._transform.check_unordered("buffer[index] = ...")
            numbers = torch.arange(len(self))
            if self._storage.ndim > 1:
                numbers = numbers.reshape(self._storage.num_rows, *self._storage.inner_shape)
            elements = numbers[index].reshape(-1)
            data = self._inverse(data)
            if self._dim_extend and batch_dims(data) > self._dim_extend:
                data = transpose(data, self._dim_extend)
            self._version += 1
            self._storage[index] = data
            self._sampler.mark_update(elements, storage=self._storage)

    # ---------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state; its tensors share memory with the buffer.

        Loaded into a buffer of the same parts, the state makes every later write and draw equal.
        The random state is included if a `generator` was given.
        """
        with self._lock:
            return {**state_of_parts(self), "_storage": self._storage.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned.

        Raises:
            CheckpointError: the parts are not of the saved kinds.
            SpecError: the storage has another layout or capacity.
        """
        with self._lock:
            check_parts(self, state_dict)
            self._storage.load_state_dict(state_dict["_storage"])
            self._take_parts(state_dict)

    def dumps(self, path: str | os.PathLike[str]) -> None:
        """Save the buffer to a folder: rows as memory maps, the rest as JSON and safetensors.

        A kill at any moment leaves the save that was there before, or this one.

        Raises:
            CheckpointError: an item of a `ListStorage` is of a kind that cannot be saved.
        """
        with self._lock:
            save_storage(path, self._storage, state_of_parts(self))

    def loads(self, path: str | os.PathLike[str]) -> None:
        """Load what `dumps` saved into this buffer, which must have the same parts.

        Everything is verified before the buffer changes.

        Raises:
            CheckpointError: a file is missing, damaged or foreign (the message names it), or the
                parts are not of the saved kinds.
        """
        with self._lock:
            saved = read_saved(path, self._storage)
            check_parts(self, saved["rest"])
            apply_rows(path, self._storage, saved)
            self._take_parts(saved["rest"])

    save = dump = dumps
    load = loads

    def _take_parts(self, state: dict[str, Any]) -> None:
        self._version += 1
        take_parts(self, state)
        self._batch_size = state["_batch_size"]

    # ------------------------------------------------------------- the object

    def shutdown(self) -> None:
        """End the prefetch threads; they start again when needed."""
        if self._prefetcher is not None:
            self._prefetcher.shutdown()

    def __getstate__(self) -> dict[str, Any]:
        # locks and threads stay behind when a buffer is sent to another process
        left = ("_lock", "_prefetcher", "_iterator")
        return {key: value for key, value in vars(self).items() if key not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()
        self._iterator = None
        self._transform.bind(self)
        self._connect()

    def __repr__(self) -> str:
        parts = f"storage={self._storage}, sampler={self._sampler}, writer={self._writer}"
        return f"{type(self).__name__}({parts}, batch_size={self._batch_size})"
