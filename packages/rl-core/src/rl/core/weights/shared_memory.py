"""Weights in shared memory: `SharedMemTransport` and the scheme that uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rl.core.errors import RLError
from rl.core.weights.packing import Layout
from rl.core.weights.peer import wait_until
from rl.core.weights.scheme import WeightSyncScheme
from rl.core.weights.strategy import WeightStrategy
from rl.core.weights.transport import TransportBackend
from rl.core.weights.versioned import Weights, WeightsError

__all__ = ["SharedMemTransport", "SharedMemWeightSyncScheme"]

# of a slot: the number of the update when its writing begins and when it ends, and what it is
_BEGIN, _END, _VERSION, _CHECKSUM, _EXTRA = range(5)
_WORDS = 8
#: bytes left for the extra state to grow
_ROOM = 4096


class SharedMemTransport:
    """A block of shared memory that one process writes and any number read, without locks.

    The block has two slots. An update is written to the one that the last update does not lie in,
    between two marks with its number, and is then announced; a reader copies the slot and takes
    the copy only if both marks are still those of the update that it began with. So a reader
    never takes half of two updates, and a writer that is killed leaves the last update whole.

    Args:
        weights: give the names, dtypes and shapes; they are not written.
        timeout: the longest wait for weights, in seconds.

    Example:
        >>> weights = WeightStrategy().stamp(torch.nn.Linear(2, 1), 5)
        >>> transport = SharedMemTransport(weights)
        >>> transport.receive_weights(timeout=0.0) is None
        True
        >>> transport.send_weights(weights)
        >>> transport.receive_weights().version
        5
    """

    def __init__(self, weights: Weights, timeout: float = 10.0) -> None:
        self.timeout = timeout
        self._layout = Layout.of(weights.tensordict)
        self._room = len(weights.extra.encode()) + (_ROOM if weights.extra else 0)
        self._published = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._marks = torch.zeros(2, _WORDS, dtype=torch.int64).share_memory_()
        size = self._layout.num_bytes + self._room
        self._slots = torch.zeros(2, size, dtype=torch.uint8).share_memory_()
        self._taken = 0

    def send_weights(self, weights: Weights) -> None:
        """Write weights and announce them.

        Raises:
            WeightsError: the extra state has outgrown the block.
        """
        extra = weights.extra.encode()
        if len(extra) > self._room:
            raise WeightsError(
                f"The extra state has {len(extra)} bytes, the shared block {self._room}: keep it "
                "of one size, or use `MultiProcessWeightSyncScheme`."
            )
        number = int(self._published) + 1
        marks, slot = self._marks[number % 2].numpy(), self._slots[number % 2]
        marks[_BEGIN] = number
        self._layout.pack(weights.tensordict, out=slot[: self._layout.num_bytes])
        text = slot[self._layout.num_bytes :].numpy()
        text[: len(extra)] = np.frombuffer(extra, np.uint8)
        marks[_VERSION], marks[_CHECKSUM], marks[_EXTRA] = (
            weights.version,
            weights.checksum,
            len(extra),
        )
        marks[_END] = number
        self._published[0] = number

    def receive_weights(
        self,
        timeout: float | None = None,
        *,
        weights: Any = None,  # noqa: ANN401 (a TensorDict)
        model: Any = None,  # noqa: ANN401 (a module)
        strategy: WeightStrategy | None = None,
    ) -> Weights | None:
        """Return a copy of the newest weights, None if there are no others since the last call.

        Args:
            timeout: the longest wait, in seconds; the transport's own if None.
            weights: a TensorDict that takes them.
            model: a module that takes them.
            strategy: how they are put there.

        Raises:
            WeightsError: they do not fit what takes them.
        """
        found: list[Weights] = []

        def look() -> bool:
            newest = self._read()
            if newest is not None:
                found.append(newest)
            return newest is not None

        if not wait_until(look, self.timeout if timeout is None else timeout):
            return None
        for destination in (weights, model):
            if destination is not None:
                (strategy or WeightStrategy()).apply_weights(destination, found[0])
        return found[0]

    def _read(self) -> Weights | None:
        """Return a copy of the newest update; None for nothing new, or one being overwritten."""
        number = int(self._published)
        if number == self._taken:
            return None
        marks = self._marks[number % 2].numpy()
        data = self._slots[number % 2].clone()
        end, version, checksum, length = (
            int(marks[word]) for word in (_END, _VERSION, _CHECKSUM, _EXTRA)
        )
        if end != number or int(marks[_BEGIN]) != number:
            return None
        self._taken = number
        size = self._layout.num_bytes
        extra = data[size : size + length].numpy().tobytes().decode()
        return Weights(version, checksum, self._layout.unpack(data[:size]), extra)


class SharedMemWeightSyncScheme(WeightSyncScheme):
    """Sends weights through shared memory: one copy out, one copy in, whatever the number.

    Receivers copy an update into their module in place when they call `receive`; a forward never
    sees a parameter change. Receivers that are slow skip to the newest update.

    Args:
        strategy: what is taken of a model, see `WeightStrategy`.
        sync: let `send` wait until each receiver has confirmed.
        per_worker_weights: give each receiver a block of its own, for weights that differ.
        timeout_s: the longest wait for another process, in seconds.

    Example:
        >>> learner, actor = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        >>> scheme = SharedMemWeightSyncScheme()
        >>> scheme.init_on_sender(model=learner, num_workers=1)
        >>> worker = scheme.receiver()  # a worker process is given `scheme` itself
        >>> worker.init_on_receiver(model=actor, worker_idx=0)
        >>> worker.connect()
        >>> scheme.connect()
        >>> torch.equal(learner.weight, actor.weight)
        True
    """

    def __init__(
        self,
        strategy: str | WeightStrategy = "tensordict",
        sync: bool = True,
        per_worker_weights: bool = False,
        *,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(strategy, sync, timeout_s=timeout_s)
        self.per_worker_weights = per_worker_weights

    def create_transport(
        self, *, weights: Weights | None = None, **kwargs: Any
    ) -> TransportBackend:
        """Return a block for `weights`.

        Args:
            weights: give the names, dtypes and shapes.
            **kwargs: what other schemes use.

        Raises:
            RLError: there are no weights yet.
        """
        del kwargs
        if weights is None:
            raise RLError(
                "Shared memory is laid out before the workers start: pass `model=` or `weights=` "
                "to `init_on_sender`."
            )
        return SharedMemTransport(weights, self.timeout_s)

    def _make_transports(
        self,
        initial: Mapping[int, Weights] | None,
        ctx: Any,  # noqa: ANN401
    ) -> dict[int, TransportBackend]:
        if self.per_worker_weights:
            return super()._make_transports(initial, ctx)
        self._require_one(initial)
        block = self.create_transport(weights=None if initial is None else initial[0])
        return dict.fromkeys(range(self.num_workers), block)

    def _publish(self, by_worker: Mapping[int, Weights]) -> None:
        if self.per_worker_weights:
            super()._publish(by_worker)
            return
        self._require_one(by_worker)
        worker, weights = next(iter(by_worker.items()))
        self._transports[worker].send_weights(weights)

    @staticmethod
    def _require_one(by_worker: Mapping[int, Weights] | None) -> None:
        if by_worker is not None and len({id(weights) for weights in by_worker.values()}) > 1:
            raise RLError(
                "The workers are given weights that differ, and share one block: pass "
                "`per_worker_weights=True`."
            )
