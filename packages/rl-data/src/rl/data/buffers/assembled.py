"""The half of a buffer that holds its parts together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self

import torch
from tensordict import NestedKey
from torch import Tensor, nn

from rl.core.transform import Compose, Transform, as_transform
from rl.data.buffers.chain import BufferChain
from rl.data.buffers.inverted import Inverted
from rl.data.buffers.parts import make_part
from rl.data.buffers.prefetch import Prefetcher
from rl.data.sample_units.base import SampleUnit
from rl.data.samplers.base import Sampler
from rl.data.sharing.sharing import Sharing
from rl.data.storages.base import Storage
from rl.data.storages.list_storage import ListStorage
from rl.data.trajectories.stored import stored_trajectories
from rl.data.trajectories.trajectory import Trajectory
from rl.data.writers.base import Writer

__all__ = ["AnyTransform", "AssembledBuffer"]

AnyTransform = Transform | nn.Module | Callable[[Any], Any]


class AssembledBuffer:
    """Storage, sampler, writer and transforms of a buffer; `ReplayBuffer` is the other half.

    Example:
        >>> from rl.data import ReplayBuffer
        >>> issubclass(ReplayBuffer, AssembledBuffer)
        True
    """

    #: whether batches hold other values than the rows that their index names
    relabels = False

    _storage: Storage
    _sampler: Sampler
    _sample_unit: SampleUnit
    _writer: Writer
    _transform: BufferChain
    _lock: AbstractContextManager[Any]
    _given_dim_extend: int | None
    _prefetch: int
    _shared_timeout_s: float
    _sharing: Sharing | None

    def _draw(self, batch_size: int) -> tuple[Any, dict[str, Any]]:
        raise NotImplementedError

    def _fetch(self, draw: tuple[Any, dict[str, Any]]) -> Any:  # noqa: ANN401
        raise NotImplementedError

    def _connect(self) -> None:
        """Introduce the parts to each other."""
        self._check_sharing()
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
        self._writer.reuse_rows_of(self._sampler if self._sampler.consumes else None)
        self._prefetcher = None
        if self._prefetch:
            self._prefetcher = Prefetcher(self._prefetch, self._sampler, self._draw, self._fetch)

    def _check_sharing(self) -> None:
        """Raise where the sampler cannot do what is asked of the buffer."""
        if self._sampler.consumes and (self._prefetch or self._sharing is not None):
            what = "prefetch=" if self._prefetch else "shared=True"
            raise ValueError(
                f"`{type(self._sampler).__name__}` uses rows up as it draws, which `{what}` does "
                "not allow: leave it out."
            )

    # ---------------------------------------------------------------- sharing

    @property
    def shared(self) -> bool:
        """Whether other processes that get the buffer have the same rows."""
        return self._sharing is not None

    def share(self, shared: bool = True, *, timeout_s: float = 30.0) -> Self:
        """Make the buffer one that processes share; see `ReplayBuffer(shared=True)`.

        Args:
            shared: nothing is done if False.
            timeout_s: longest wait for the other processes.

        Raises:
            SpecError: storage or writer cannot be shared.
            RuntimeError: a shared buffer is to be taken back.
        """
        if not shared and self._sharing is not None:
            raise RuntimeError("Other processes may have the buffer: it stays shared.")
        if shared and self._sharing is None:
            self._sharing = Sharing(self._storage, self._writer, timeout_s, fresh=True)
            self._shared_timeout_s = timeout_s
            self._lock = self._sharing
            self._connect()
        return self

    def _hear(self) -> None:
        """Tell the sampler what was written by any process; the lock is held."""
        news = None if self._sharing is None else self._sharing.news()
        if news is None:
            return
        emptied, rows = news
        self._version += 1
        if emptied:
            self._emptied()
        self._written(self._writer.elements_of(rows))

    # what those who follow the rows are told

    def _written(self, elements: Tensor) -> None:
        self._sampler.extend(elements)

    def _overwritten(self, elements: Tensor) -> None:
        self._sampler.mark_update(elements, storage=self._storage)
        self._writer.reread()

    def _edited(self) -> None:
        self._sampler.reread()
        self._writer.reread()

    def _emptied(self) -> None:
        self._sampler.empty()

    def _refuse_if_shared(self, what: str) -> None:
        if self._sharing is not None:
            raise RuntimeError(
                f"{what} is not safe on a shared buffer: a process that is killed in it leaves "
                "rows torn. Write with `add` and `extend`."
            )

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
    def sample_unit(self) -> SampleUnit:
        """What each drawn element becomes in a batch."""
        return self._sample_unit

    @property
    def writer(self) -> Writer:
        """Which row a new one replaces."""
        return self._writer

    @property
    def collate_fn(self) -> Callable[[Any], Any] | None:
        """What turns rows of the storage into a batch; None if they are one."""
        return self._collate

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
        return self._writer.write_count if self._sharing is None else self._sharing.write_count

    def set_storage(
        self, storage: Storage, collate_fn: Callable[[Any], Any] | None = None
    ) -> Storage:
        """Replace the storage; return the previous one.

        Its rows count as just written; writing goes on after them.

        Raises:
            TypeError: it is no storage.
            ValueError: the sampler or the writer cannot serve it; nothing changes.
        """
        self._refuse_if_shared("Replacing the storage")
        with self._lock:
            make_part("storage", storage, Storage, ListStorage)
            previous, self._storage = self._storage, storage
            try:
                self._reconnect()
            except ValueError:
                self._storage = previous
                self._reconnect()
                raise
            self._collate = collate_fn or storage.default_collate
            self._transform.forget()
            self._emptied()
            self._writer.restart(storage.num_rows)
            self._written(torch.arange(len(storage)))
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
        self._refuse_if_shared("Replacing the writer")
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

    def append_transform(self, transform: AnyTransform, *, invert: bool = False) -> Self:
        """Add a transform after the others.

        Args:
            transform: a `Transform`, a module or a function, which takes and returns a batch.
            invert: apply the inverse to batches, and the transform to what is written.
        """
        return self.insert_transform(len(self._transform), transform, invert=invert)

    def insert_transform(
        self, index: int, transform: AnyTransform, *, invert: bool = False
    ) -> Self:
        """Add a transform before position `index`; see `append_transform`."""
        transform = as_transform(transform)
        with self._lock:
            self._transform.insert(index, Inverted(transform) if invert else transform)
        return self

    # ------------------------------------------------------------ trajectories

    def query(
        self,
        predicate: Callable[[Trajectory], bool] | None = None,
        *,
        trajectory_key: NestedKey | None = None,
    ) -> list[Trajectory]:
        """Return the stored trajectories, transformed as batches are, that match a condition.

        Args:
            predicate: made from `rl.data.traj`, or a function of a `Trajectory`; all without one.
            trajectory_key: see `rl.data.iter_trajectories`.

        Raises:
            SpecError, MissingKeyError: see `rl.data.trajectories.stored`.
        """
        with self._lock:
            found = list(stored_trajectories(self._storage, trajectory_key))
        if len(self._transform):
            found = [Trajectory(self._transform(piece.data)) for piece in found]
        return [piece for piece in found if predicate is None or predicate(piece)]

    # ------------------------------------------------------------- the object

    def stats(self) -> dict[str, int | float | bool]:
        """Return counts and gauges for a monitor; nothing is changed, nobody waited for.

        Returns:
            `"size"`, `"write_count"`, `"prefetch_queue_size"`, `"initialized"`, `"capacity"` and
            `"utilization"`; of a shared buffer also `"undone_writes"`, those that processes did
            not live to finish. Of a buffer that is not built yet, `"initialized"` alone.
        """
        size, capacity = len(self), self._storage.max_size  # type: ignore[arg-type]
        queue = 0 if self._prefetcher is None else self._prefetcher.queue_size
        more = {} if self._sharing is None else {"undone_writes": self._sharing.undone}
        return {
            "size": size,
            "write_count": self.write_count,
            "prefetch_queue_size": queue,
            "initialized": True,
            "capacity": capacity,
            "utilization": size / capacity,
            **more,
        }

    def shutdown(self) -> None:
        """End the prefetch threads; they start again when needed."""
        if self._prefetcher is not None:
            self._prefetcher.shutdown()

    def __getstate__(self) -> dict[str, Any]:
        # locks and threads stay behind when a buffer is sent to another process
        left = ("_lock", "_prefetcher", "_iterator", "_sharing")
        state = {key: value for key, value in vars(self).items() if key not in left}
        if self._sharing is not None:
            with self._lock:  # a writer may be in the middle of its change
                state["_is_shared"] = True
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        shared = state.pop("_is_shared", False)
        vars(self).update(state)
        self._iterator = None
        self._sharing = None
        self._lock = threading.RLock()
        if shared:
            timeout_s = self._shared_timeout_s
            self._sharing = Sharing(self._storage, self._writer, timeout_s)
            self._lock = self._sharing
        self._transform.bind(self)
        self._connect()

    def __repr__(self) -> str:
        parts = f"storage={self._storage}, sampler={self._sampler}, writer={self._writer}"
        return f"{type(self).__name__}({parts}, batch_size={self._batch_size})"
