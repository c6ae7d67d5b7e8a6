"""The replay buffer: a storage, a sampler and a writer put together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from tensordict import TensorDictBase, is_tensor_collection
from tensordict.utils import NestedKey
from torch import Tensor

from rl.data.buffers.assembled import AnyTransform, AssembledBuffer
from rl.data.buffers.batch import batch_dims, check_pinning, pin, stack_index, transpose
from rl.data.buffers.chain import BufferChain
from rl.data.buffers.conditional import ConditionalUpdateResult, conditional_update
from rl.data.buffers.late import build_late
from rl.data.buffers.parts import check_size, make_part
from rl.data.buffers.saved_buffer import SavedBuffer
from rl.data.sample_units import SampleUnit, Transition
from rl.data.samplers.base import Sampler
from rl.data.samplers.consuming import ConsumingSampler
from rl.data.samplers.random_sampler import RandomSampler
from rl.data.sharing.sharing import Sharing
from rl.data.storages.base import Checkpointer, Storage
from rl.data.storages.list_storage import ListStorage
from rl.data.writers.base import Writer
from rl.data.writers.round_robin import RoundRobinWriter

__all__ = ["ReplayBuffer"]


class ReplayBuffer(AssembledBuffer, SavedBuffer):
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
        checkpointer: how `dumps` writes the rows, the storage's own by default.
        consume_after_n_samples: number of draws after which an element is used up; short for a
            `ConsumingSampler`.
        shared: whether processes that get the buffer, as an argument of `Process`, have the same
            rows: any may write, one samples. Rows are whole always, and a process that dies in a
            write has not written. Needs `LazyMemmapStorage` or
            `LazyTensorStorage(shared_init=True)`, and a round-robin writer. `copy.deepcopy` makes a
            buffer of its own.
        shared_timeout_s: longest wait for the other processes.
        delayed_init: whether parts given as functions are made when the buffer is first used, in
            the process that uses it; by default if `transform_factory` is given.

    Raises:
        TypeError: a part is not of its kind.
        ValueError: parts do not fit together.
        SpecError: storage or writer cannot be shared.
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
        checkpointer: Checkpointer | None = None,
        consume_after_n_samples: int | None = None,
        shared: bool = False,
        shared_timeout_s: float = 30.0,
        delayed_init: bool | None = None,
    ) -> None:
        if pin_memory:
            check_pinning()
        if transform is not None and transform_factory is not None:
            raise ValueError("Pass `transform` or `transform_factory`, not both.")
        if consume_after_n_samples is not None:
            if sampler is not None:
                raise ValueError("Pass `sampler` or `consume_after_n_samples`, not both.")
            sampler = ConsumingSampler(consume_after_n_samples)
        late = transform_factory is not None if delayed_init is None else delayed_init
        if shared and delayed_init:
            raise ValueError(
                "A shared buffer is built before it is sent: leave `delayed_init` out."
            )
        self._given_dim_extend = dim_extend
        self._pin_memory = pin_memory
        self._checkpointer = checkpointer
        self._batch_size = None if batch_size is None else check_size("batch_size", batch_size)
        self._prefetch = check_size("prefetch", prefetch) if prefetch else 0
        self._shared_timeout_s = shared_timeout_s
        recipe = {
            "storage": storage,
            "sampler": sampler,
            "sample_unit": sample_unit,
            "writer": writer,
            "collate_fn": collate_fn,
            "transform": transform,
            "transform_factory": transform_factory,
            "generator": generator,
            "shared": shared,
        }
        if late and not shared:
            build_late(self, recipe)
        else:
            self._lock = threading.RLock()
            self._build(**recipe)

    def _build(  # noqa: PLR0913
        self,
        *,
        storage: Any,  # noqa: ANN401
        sampler: Any,  # noqa: ANN401
        sample_unit: SampleUnit | None,
        writer: Any,  # noqa: ANN401
        collate_fn: Callable[[Any], Any] | None,
        transform: AnyTransform | None,
        transform_factory: Callable[[], AnyTransform] | None,
        generator: torch.Generator | None,
        shared: bool,
    ) -> None:
        """Make the parts and put them together."""
        self._storage = make_part("storage", storage, Storage, ListStorage)
        self._sampler = make_part("sampler", sampler, Sampler, RandomSampler)
        self._sample_unit = make_part("sample_unit", sample_unit, SampleUnit, Transition)
        self._writer = make_part("writer", writer, Writer, self._default_writer())
        self._collate = collate_fn or self._storage.default_collate
        self._transform = BufferChain(self)
        # counts changes of rows and priorities: tells prefetched batches that they are stale
        self._version = 0
        self._iterator: Iterator[Any] | None = None
        self._sharing: Sharing | None = None
        self._connect()
        if shared:
            self.share(timeout_s=self._shared_timeout_s)
        self.set_rng(generator)
        made = transform_factory() if transform_factory is not None else transform
        if made is not None:
            self.append_transform(made)

    def _default_writer(self) -> Callable[[], Writer]:
        return RoundRobinWriter

    # --------------------------------------------------------------- writing

    def add(self, data: Any) -> int | Tensor | None:  # noqa: ANN401
        """Write one row.

        Returns:
            The number of the element, None if the writer does not keep it, or the coordinates of
            the row's elements if the storage has `ndim > 1`.

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
            self._tell(elements)
        if self._storage.ndim > 1:
            return self._public_index(elements)
        return None if elements[0] < 0 else int(elements[0])

    def _tell(self, elements: Tensor) -> None:
        """Tell of what was written; of a shared buffer it is heard at the next draw."""
        if self._sharing is None:
            kept = elements if self._writer.keeps_all else elements[elements >= 0]
            self._written(kept)

    def extend(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write a batch of rows.

        Returns:
            The numbers of the elements, `[n]`, -1 of rows that the writer does not keep; their
            coordinates, `[n, ndim]`, if the storage has `ndim > 1`.

        Raises:
            MissingKeyError, SpecError, ShapeError: the rows differ from the first rows, or are more
                than the buffer has room for; the buffer is unchanged. (A writer that ranks rows
                takes any number.)
        """
        with self._lock:
            with self._transform.writing():
                data = self._inverse(data)
                if self._dim_extend:
                    data = transpose(data, self._dim_extend)
                self._transform.before_write(self._storage, data)
                self._version += 1
                elements = self._writer.extend(data)
            self._tell(elements)
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
            self._emptied()
            self._transform.forget()
            if self._sharing is not None:
                self._sharing.replaced(heard=True)

    def update_priority(self, index: Any, priority: Tensor | float) -> None:  # noqa: ANN401
        """Set priorities.

        Args:
            index: element numbers `[n]`, or coordinates `[n, ndim]` as samples hold them.
            priority: one per element, or one for all; not negative.

        Raises:
            ShapeError, SpecError, IndexError: see `PrioritizedSampler.update_priority`.
        """
        with self._lock:
            self._hear()
            self._version += 1
            elements = self._storage.ravel(index)
            self._sampler.update_priority(elements, priority, storage=self._storage)

    def mark_update(self, index: Any) -> None:  # noqa: ANN401
        """Tell the sampler that elements were overwritten in place."""
        self._refuse_if_shared("Overwriting in place")
        with self._lock:
            self._version += 1
            self._overwritten(self._storage.ravel(index))

    def update_if_present(
        self,
        *,
        index: Tensor,
        generation: Tensor,
        patch: Mapping[NestedKey, Tensor] | TensorDictBase,
        version_key: NestedKey | None = None,
        version: int | Tensor | None = None,
        require_newer: bool = False,
    ) -> ConditionalUpdateResult:
        """Overwrite entries of elements that are still those that were sampled.

        An index is a place, whose data may be replaced between a sample and the answer to it; its
        generation tells. Everything is checked before anything is written.

        Args:
            index: places, as in a sample.
            generation: `"index_generation"` of the sample.
            patch: entries to write, `[n, ...]` each.
            version_key: entry with one number per element; where it wins against `version`, the
                element keeps its data, else it becomes `version`.
            version: one for all, or one per element.
            require_newer: whether equal versions lose.

        Raises:
            RuntimeError: the writer does not track generations, or the buffer is shared.
            SpecError, ShapeError, MissingKeyError: the patch does not fit the storage.
            ValueError: `version_key` and `version` do not come together, or it is in the patch.
        """
        self._refuse_if_shared("Updating in place")
        with self._lock:
            self._version += 1
            result = conditional_update(
                self._storage,
                self._writer,
                index,
                generation,
                patch,
                version_key=version_key,
                version=version,
                require_newer=require_newer,
            )
            if result.updated_count:
                self._edited()
            return result

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
            if self._sharing is not None:
                self._hear()
            if self._prefetcher is None:
                draw = self._draw(size)
                data = self._fetch(draw)
            else:
                draw, data = self._prefetcher.next(size, self._version)
            index, told = draw
            info = {"index": index, **told}
            if self._writer.tracks_generations:
                info["index_generation"] = self._writer.generations_of(index)
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
        if self._sharing is not None:
            rows = self._sharing.num_rows
            if rows and not self._storage.num_rows:
                with self._lock:  # which maps the columns that another process laid out
                    rows = self._storage.num_rows
            return rows * self._storage.inner_size
        return self._sampler.available(self._storage)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Return rows, transformed as batches are.

        Raises:
            IndexError: the index is out of range.
        """
        with self._lock:
            data = self._storage[index]
            if (len(self._transform) or self._sharing is not None) and is_tensor_collection(data):
                data = data.clone()  # a view, which transforms and others may change
            if isinstance(index, slice) and isinstance(data, list):
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
        self._refuse_if_shared("Overwriting rows")
        with self._lock:
            self._transform.check_unordered("buffer[index] = ...")
            elements = self._elements_at(index).reshape(-1)
            data = self._inverse(data)
            if self._dim_extend and batch_dims(data) > self._dim_extend:
                data = transpose(data, self._dim_extend)
            self._version += 1
            self._storage[index] = data
            self._overwritten(elements)

    def _elements_at(self, index: Any) -> Tensor:  # noqa: ANN401
        """Return the numbers of the elements that `buffer[index]` has."""
        storage = self._storage
        numbers = torch.arange(len(storage))
        return numbers.reshape(storage.num_rows, *storage.inner_shape)[index]
