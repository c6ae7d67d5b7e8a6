"""Weights through queues: `MPTransport` and the scheme that uses it."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
from typing import Any

import torch

from rl.core.errors import WorkerError
from rl.core.weights.packing import Layout
from rl.core.weights.scheme import WeightSyncScheme
from rl.core.weights.strategy import WeightStrategy
from rl.core.weights.transport import TransportBackend
from rl.core.weights.versioned import Weights

__all__ = ["MPTransport", "MultiProcessWeightSyncScheme"]

#: updates that may lie in a queue; more wait in the sender
_ROOM = 4


class _Reader:
    """Empties a queue in a thread of its own and keeps the newest update.

    The read of a message that its writer never ended does not return: only this thread is stuck.
    """

    def __init__(self, weight_queue: Any) -> None:  # noqa: ANN401 (a multiprocessing queue)
        self._queue = weight_queue
        self._newest: Any = None
        self._condition = threading.Condition()
        threading.Thread(target=self._run, daemon=True, name="rl-weights").start()

    def _run(self) -> None:
        while True:
            try:
                message = self._queue.get()
            except (EOFError, OSError):  # the process ends
                return
            if message is None:  # nothing more will come
                return
            with self._condition:
                self._newest = message
                self._condition.notify()

    def take(self, timeout_s: float) -> Any:  # noqa: ANN401
        """Return the newest message that was not taken, None if none came in time."""
        with self._condition:
            self._condition.wait_for(lambda: self._newest is not None, timeout_s)
            message, self._newest = self._newest, None
            return message


class MPTransport:
    """Carries weights to one receiver through a multiprocessing queue, as bytes.

    Args:
        weight_queue: takes the updates; its `put` may block when it is full.
        ack_queue: takes the version of each update that was received; `send_weights` waits for it.
        timeout: the longest wait, in seconds.

    Example:
        >>> transport = MPTransport(multiprocessing.get_context("spawn").Queue())
        >>> transport.send_weights(WeightStrategy().stamp(torch.nn.Linear(2, 1), 5))
        >>> transport.receive_weights().version
        5
        >>> transport.close()
    """

    def __init__(
        self,
        weight_queue: Any,  # noqa: ANN401 (a multiprocessing queue)
        ack_queue: Any = None,  # noqa: ANN401
        timeout: float = 10.0,
    ) -> None:
        self.timeout = timeout
        self._weight_queue = weight_queue
        self._ack_queue = ack_queue
        self._reader: _Reader | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def send_weights(self, weights: Weights) -> None:
        """Send weights, and wait for the acknowledgment if there is a queue for it.

        Raises:
            WorkerError: the queue stays full, or no acknowledgment comes.
        """
        self.send_weights_async(weights)
        if self._ack_queue is None:
            return
        try:
            while self._ack_queue.get(timeout=self.timeout) < weights.version:
                pass
        except queue.Empty:
            raise WorkerError(
                f"No acknowledgment of version {weights.version} within {self.timeout:g} s: does "
                "the receiver call `receive_weights`?"
            ) from None

    def send_weights_async(self, weights: Weights, model_id: str = "policy") -> None:
        """Send weights.

        Args:
            weights: they may change afterwards.
            model_id: the model's name; a transport carries one model.

        Raises:
            WorkerError: the queue stays full.
        """
        del model_id
        layout = Layout.of(weights.tensordict)
        # numpy goes by value: no file that the other side must fetch while this one lives
        data = layout.pack(weights.tensordict).numpy()
        message = (weights.version, weights.checksum, layout, data, weights.extra)
        try:
            self._weight_queue.put(message, timeout=self.timeout)
        except queue.Full:
            raise WorkerError(
                f"The receiver takes no weights: the queue is full for {self.timeout:g} s."
            ) from None

    def receive_weights(
        self,
        timeout: float | None = None,
        *,
        weights: Any = None,  # noqa: ANN401 (a TensorDict)
        model: Any = None,  # noqa: ANN401 (a module)
        strategy: WeightStrategy | None = None,
    ) -> Weights | None:
        """Return the newest weights, None if none came; older ones are passed over.

        Args:
            timeout: the longest wait, in seconds; the transport's own if None.
            weights: a TensorDict that takes them.
            model: a module that takes them.
            strategy: how they are put there.

        Raises:
            WeightsError: they do not fit what takes them.
        """
        if self._reader is None:
            self._reader = _Reader(self._weight_queue)
        message = self._reader.take(self.timeout if timeout is None else timeout)
        if message is None:
            return None
        version, checksum, layout, data, extra = message
        found = Weights(version, checksum, layout.unpack(torch.from_numpy(data)), extra)
        for destination in (weights, model):
            if destination is not None:
                (strategy or WeightStrategy()).apply_weights(destination, found)
        if self._ack_queue is not None:
            self._ack_queue.put(version)
        return found

    def setup_connection_and_weights_on_sender(self) -> None:
        """Do nothing: the first weights come through the queue."""

    def setup_connection_and_weights_on_receiver(
        self,
        *,
        worker_idx: int,
        weights: Any = None,  # noqa: ANN401
        model: Any = None,  # noqa: ANN401
        strategy: WeightStrategy | None = None,
    ) -> None:
        """Begin to empty the queue.

        Args:
            worker_idx: the receiver's number.
            weights: not used: the first weights come with `receive_weights`.
            model: not used.
            strategy: not used.
        """
        del worker_idx, weights, model, strategy
        self._reader = _Reader(self._weight_queue)

    def close(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(queue.Full):
            self._weight_queue.put_nowait(None)


class MultiProcessWeightSyncScheme(WeightSyncScheme):
    """Sends weights through a queue per receiver, as copies.

    Unlike shared memory it needs no weights before the workers start, each receiver may be sent
    others, and extra state may grow. Updates that a receiver has not taken yet are passed over for
    the newest.

    Args:
        strategy: what is taken of a model, see `WeightStrategy`.
        sync: let `send` wait until each receiver has confirmed.
        timeout_s: the longest wait for another process, in seconds.

    Example:
        >>> learner, actor = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        >>> scheme = MultiProcessWeightSyncScheme("state_dict")
        >>> scheme.init_on_sender(model=learner, num_workers=1)
        >>> worker = scheme.receiver()  # a worker process is given `scheme` itself
        >>> worker.init_on_receiver(model=actor, worker_idx=0)
        >>> worker.connect()
        >>> scheme.connect()
        >>> torch.equal(learner.weight, actor.weight)
        True
        >>> scheme.shutdown()
    """

    def create_transport(
        self,
        *,
        ctx: Any = None,  # noqa: ANN401
        **kwargs: Any,
    ) -> TransportBackend:
        """Return a queue to one receiver.

        Args:
            ctx: the multiprocessing context of the workers.
            **kwargs: what other schemes use.
        """
        del kwargs
        context = multiprocessing.get_context("spawn") if ctx is None else ctx
        weight_queue = context.Queue(_ROOM)
        # the end of this process must not wait for a receiver that was killed
        weight_queue.cancel_join_thread()
        return MPTransport(weight_queue, timeout=self.timeout_s)
