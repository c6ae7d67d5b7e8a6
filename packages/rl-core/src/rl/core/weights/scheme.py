"""`WeightSyncScheme`: how the weights of one model get from a learner to those who act."""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tensordict import TensorDictBase
from torch import nn

from rl.core.errors import RLError, WorkerError
from rl.core.weights.backends import load_backend
from rl.core.weights.board import Board
from rl.core.weights.inbox import Inbox
from rl.core.weights.model_path import find_model
from rl.core.weights.outbox import Outbox
from rl.core.weights.stamping import Stamper
from rl.core.weights.strategy import WeightStrategy
from rl.core.weights.transport import InitialSyncTransport, TransportBackend
from rl.core.weights.versioned import Weights, WeightsError, apply_weights
from rl.core.weights.watch import Watch

__all__ = ["WeightSyncScheme"]


class WeightSyncScheme:
    """Sends the weights of one model from one process to the receivers in others.

    | step | sender | receiver |
    |---|---|---|
    | 1 | `init_on_sender`, then start the workers, with the scheme as an argument | |
    | 2 | `connect`: waits until all have the first weights | `init_on_receiver`, `connect` |
    | 3 | `send`, or `send_async` and `wait_async` | `receive`, where no forward runs |
    | 4 | `shutdown` | `shutdown` |

    Each update has a version, one more than the last, and a checksum. A receiver verifies both,
    loads all of an update or nothing, and confirms what it loaded. Every wait ends; a process that
    ended is a `WorkerError` on the other side.

    A scheme for another way of transport defines `create_transport`.

    Args:
        strategy: what is taken of a model: a `WeightStrategy` or its `extract_as`.
        sync: let `send` wait until each receiver has confirmed.
        timeout_s: the longest wait for another process, in seconds.

    Example:
        >>> sorted(cls.__name__ for cls in WeightSyncScheme.__subclasses__())[:2]
        ['MultiProcessWeightSyncScheme', 'NoWeightSyncScheme']
    """

    def __init__(
        self,
        strategy: str | WeightStrategy = "tensordict",
        sync: bool = True,
        *,
        timeout_s: float = 60.0,
    ) -> None:
        given = isinstance(strategy, WeightStrategy)
        self.strategy = strategy if given else WeightStrategy(strategy)
        self.sync = sync
        self.timeout_s = timeout_s
        self.model_id: str | None = None
        self.num_workers = 0
        self._board: Board | None = None
        self._transports: dict[int, TransportBackend] = {}
        self._forget_role()

    @staticmethod
    def from_backend(backend: str, **kwargs: Any) -> WeightSyncScheme:
        """Return a scheme by the name of its backend.

        Args:
            backend: `"none"`, `"shared"`, `"process"`, one of their aliases, or what an installed
                wheel declares under `rl.weight_sync`.
            **kwargs: arguments of the scheme.

        Raises:
            NotRegisteredError: no installed wheel has it; the message suggests the nearest.

        Example:
            >>> type(WeightSyncScheme.from_backend("shared")).__name__
            'SharedMemWeightSyncScheme'
        """
        return load_backend(backend)(**kwargs)

    @abstractmethod
    def create_transport(self, **kwargs: Any) -> TransportBackend:
        """Return what carries weights to one receiver.

        Args:
            **kwargs: `worker_idx`; `weights`, the first ones, None if they are not known yet; and
                `ctx`, the multiprocessing context of the workers.
        """

    def __repr__(self) -> str:
        role = self._role or "no role"
        return f"{type(self).__name__}({role}, model_id={self.model_id!r}, version={self.version})"

    def __getstate__(self) -> dict[str, Any]:
        """Return what a receiver in another process needs: no model, no role."""
        bare = object.__new__(type(self))
        bare.__dict__.update(self.__dict__)
        bare._forget_role()
        return bare.__dict__

    def _forget_role(self) -> None:
        self._role: str | None = None
        self._pid = 0
        self.context: Any = None
        #: the model that is sent or filled
        self.model: Any = None
        #: of the newest update: sent, or loaded; -1 for none
        self.version = -1
        self.worker_idx: int | None = None
        self.is_closed = False
        self.synchronized_on_sender = self.synchronized_on_receiver = False
        self._watch: Watch | None = None
        self._outbox: Outbox | None = None
        self._inbox: Inbox | None = None
        self._stamper: Stamper | None = None

    # -------------------------------------------------------------------- roles

    @property
    def initialized_on_sender(self) -> bool:
        """Whether this is the sender."""
        return self._role == "sender"

    @property
    def initialized_on_receiver(self) -> bool:
        """Whether this is a receiver."""
        return self._role == "receiver"

    @property
    def weights(self) -> Any:  # noqa: ANN401 (a TensorDict or a state_dict)
        """The weights of the model, as the strategy takes them."""
        return self.strategy.extract_weights(self.model)

    @property
    def sender_transports(self) -> dict[int, TransportBackend]:
        """What carries weights to each receiver."""
        return dict(self._transports)

    @property
    def receiver_transport(self) -> TransportBackend | None:
        """What carries weights here; None on the sender."""
        return None if self._inbox is None else self._inbox.transport

    def init_on_sender(
        self,
        *,
        model_id: str = "policy",
        context: Any = None,  # noqa: ANN401 (a collector, say)
        model: nn.Module | None = None,
        weights: Any = None,  # noqa: ANN401 (a TensorDict or a state_dict)
        params_map: Mapping[int, Any] | None = None,
        num_workers: int | None = None,
        ctx: Any = None,  # noqa: ANN401 (a multiprocessing context)
    ) -> None:
        """Make this the sender, and get the first weights ready; before the workers start.

        Args:
            model_id: the model's name, or its path below `context`.
            context: has the model, and the number of workers as `num_workers`.
            model: the model, instead.
            weights: its weights, instead; they are taken anew at each `send`.
            params_map: weights for each worker, instead.
            num_workers: the number of receivers; 1 by default.
            ctx: the context that starts the workers, `multiprocessing`'s own by default.

        Raises:
            RLError: this has a role already, or none of the sources is given where one is needed.
        """
        self._begin("sender", model_id, context)
        if model is None and weights is None and context is not None:
            model = find_model(context, model_id)
        self.model = model if model is not None else weights
        if num_workers is None:
            num_workers = len(params_map or ()) or getattr(context, "num_workers", 1)
        if num_workers < 1:
            raise RLError(f"`num_workers` is {num_workers}, expected 1 or more.")
        self.num_workers = num_workers
        self._board = Board(num_workers)
        self._watch = Watch(self._board)
        self._outbox = Outbox(self._board, self._watch)
        self._stamper = Stamper(self.strategy, self._prepared)
        source = self.model if params_map is None else dict(params_map)
        everyone = range(num_workers)
        initial = None if source is None else self._stamper.by_worker(source, everyone, 0)
        self._transports = self._make_transports(initial, ctx)
        if initial is not None:
            self._deliver(initial, 0)

    def init_on_receiver(
        self,
        *,
        model_id: str = "policy",
        context: Any = None,  # noqa: ANN401
        model: nn.Module | None = None,
        worker_idx: int | None = None,
    ) -> None:
        """Make this a receiver, in the worker.

        Args:
            model_id: the model's name, or its path below `context`.
            context: has the model, and the worker's number as `worker_idx`.
            model: the model, instead.
            worker_idx: the worker's number, counted from 0; may be given to `connect` instead.

        Raises:
            RLError: this has a role already, or the sender's model has another name, or there is
                no module.
        """
        if self._board is None:
            raise RLError(
                "Nothing was prepared for receivers: call `init_on_sender` first, and give the "
                "workers that scheme."
            )
        if model_id != self.model_id:
            raise RLError(
                f"`model_id` is `{model_id}`, the sender's is `{self.model_id}`: a scheme moves "
                "one model. Make one for each."
            )
        self._begin("receiver", model_id, context)
        self._watch = Watch(self._board)
        self.model = model if model is not None else find_model(context, model_id)
        if not isinstance(self.model, nn.Module):
            raise RLError(f"A receiver fills a module, `model` is {type(self.model).__qualname__}.")
        self.worker_idx = getattr(context, "worker_idx", None) if worker_idx is None else worker_idx

    def receiver(self) -> WeightSyncScheme:
        """Return this scheme as a worker process gets it, for a receiver in this process."""
        return copy.copy(self)

    def connect(self, *, worker_idx: int | None = None, weights: Any = None) -> None:  # noqa: ANN401
        """Wait until the first weights are loaded: here (receiver), or everywhere (sender).

        Args:
            worker_idx: the receiver's number.
            weights: the sender's first weights, in place of those it was made with.

        Raises:
            WorkerError: the other side is gone, or silent for `timeout_s`.
            RLError: this has no role, no number, or nothing to send.
        """
        if self.initialized_on_receiver:
            self._connect_receiver(worker_idx)
            return
        self._require_role("sender")
        if weights is not None:
            self.send_async(weights)
        if self.version < 0:
            raise RLError("There is nothing to send: `connect(weights=...)` on the sender.")
        for transport in {id(t): t for t in self._transports.values()}.values():
            if isinstance(transport, InitialSyncTransport):
                transport.setup_connection_and_weights_on_sender()
        self.wait_async()
        self.synchronized_on_sender = True

    def _connect_receiver(self, worker_idx: int | None) -> None:
        if worker_idx is not None:
            self.worker_idx = worker_idx
        if self.worker_idx is None or self.worker_idx not in range(self.num_workers):
            raise RLError(
                f"`worker_idx` is {self.worker_idx}, expected 0 to {self.num_workers - 1}: pass "
                "the worker's number."
            )
        transport = self._transports[self.worker_idx]
        self._inbox = Inbox(self._board, self._watch, transport, self.worker_idx, self.timeout_s)
        self.receive()
        self.synchronized_on_receiver = True

    # --------------------------------------------------------------------- sender

    def send(
        self,
        weights: Any = None,  # noqa: ANN401
        worker_ids: int | Iterable[int] | None = None,
    ) -> None:
        """Send the newest weights, and, with `sync`, wait until each receiver has confirmed them.

        Args:
            weights: a module, a TensorDict, a state_dict, or a dict of them by worker; the model
                if None.
            worker_ids: the receivers; all if None.

        Raises:
            WeightsError: the weights are not those of the model that was set up, or a receiver
                confirmed others.
            WorkerError: a receiver is gone, silent, or refused them, or an update before.
        """
        workers = self._workers(worker_ids)
        self.send_async(weights, workers)
        if self.sync:
            self._outbox.wait(self.timeout_s, workers)

    def send_async(
        self,
        weights: Any = None,  # noqa: ANN401
        worker_ids: int | Iterable[int] | None = None,
    ) -> None:
        """Send weights and go on; `wait_async` waits for the confirmations.

        Args:
            weights: see `send`.
            worker_ids: the receivers; all if None.

        Raises:
            WeightsError: the weights are not those of the model that was set up.
            WorkerError: a receiver is gone, or refused an earlier update.
        """
        self._require_role("sender")
        workers = self._workers(worker_ids)
        self._outbox.check(workers)
        source = self.model if weights is None else weights
        if source is None:
            raise RLError("There is no model to take weights of: pass them, `send(weights)`.")
        version = self.version + 1
        self._deliver(self._stamper.by_worker(source, workers, version), version)

    def wait_async(self, timeout_s: float | None = None) -> None:
        """Wait until each receiver has confirmed the newest update that was sent to it.

        Args:
            timeout_s: the longest wait, in seconds; the scheme's own if None.

        Raises:
            WorkerError: a receiver is gone, silent, or refused the update.
            WeightsError: a receiver confirmed other weights than were sent.
        """
        self._require_role("sender")
        self._outbox.wait(self.timeout_s if timeout_s is None else timeout_s)

    def loaded_versions(self) -> list[int]:
        """Return the version that each receiver has, -1 for none."""
        self._require_role("sender")
        return [self._board.loaded(worker) for worker in range(self.num_workers)]

    def prepare_weights(
        self,
        weights: Any,  # noqa: ANN401
        model_id: str,
        strategy: WeightStrategy,
        context: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return what is sent of `weights`; a scheme that converts them overrides this.

        Args:
            weights: what `send` was given, or the model.
            model_id: the model's name.
            strategy: how weights are taken.
            context: has the model.
        """
        del model_id, strategy, context
        return weights

    def _prepared(self, weights: Any) -> Any:  # noqa: ANN401
        return self.prepare_weights(weights, self.model_id, self.strategy, self.context)

    def _deliver(self, by_worker: Mapping[int, Weights], version: int) -> None:
        self.version = version
        self._publish(by_worker)
        self._outbox.note(by_worker)

    def _make_transports(
        self,
        initial: Mapping[int, Weights] | None,
        ctx: Any,  # noqa: ANN401
    ) -> dict[int, TransportBackend]:
        return {
            worker: self.create_transport(
                worker_idx=worker, weights=None if initial is None else initial[worker], ctx=ctx
            )
            for worker in range(self.num_workers)
        }

    def _publish(self, by_worker: Mapping[int, Weights]) -> None:
        for worker, weights in by_worker.items():
            self._transports[worker].send_weights(weights)

    def _workers(self, worker_ids: int | Iterable[int] | None) -> list[int]:
        if worker_ids is None:
            return list(range(self.num_workers))
        chosen = [worker_ids] if isinstance(worker_ids, int) else list(worker_ids)
        unknown = [worker for worker in chosen if worker not in range(self.num_workers)]
        if unknown:
            raise RLError(f"`worker_ids` has {unknown}, expected 0 to {self.num_workers - 1}.")
        return chosen

    # ------------------------------------------------------------------- receiver

    def receive(self, timeout: float | None = None) -> TensorDictBase | None:
        """Load the newest update, if there is one that is not loaded, and confirm it.

        No other thread loads weights: between two calls the module stays as it is.

        Args:
            timeout: the longest wait for the sender to begin, in seconds; 0.0 only looks. If
                None, an update must come within `timeout_s`.

        Returns:
            The weights by flat name, None if none came.

        Raises:
            WorkerError: the sender is gone, or nothing came and `timeout` is None.
            WeightsError: the update is stale, partial, damaged, or of another network; the module
                is as before, and the sender is told.
        """
        self._require_role("receiver")
        if self._inbox is None:
            raise RLError("Nothing is connected yet: call `connect(worker_idx=...)` first.")
        weights = self._inbox.take(self.version, self.timeout_s if timeout is None else timeout)
        if weights is None:
            if self._watch.is_sender_gone():
                raise WorkerError(
                    f"{self._watch.farewell()} No weights will come after version {self.version}."
                )
            if timeout is None:
                raise WorkerError(
                    f"No weights came within {self.timeout_s:g} s, and the sender lives. Pass "
                    "`timeout=` if that is meant."
                )
            return None
        self._inbox.load(weights, self.apply_weights)
        self.version = weights.version
        return weights.tensordict

    def apply_weights(self, weights: Any, inplace: bool = True) -> None:  # noqa: ANN401
        """Put weights into the model.

        Args:
            weights: `Weights`, or what the strategy takes.
            inplace: see `WeightStrategy.apply_weights`.

        Raises:
            WeightsError: they do not fit, are damaged, or older than what is loaded.
        """
        if isinstance(weights, Weights) and inplace:
            apply_weights(self.model, weights, current=self.version)
        else:
            self.strategy.apply_weights(self.model, weights, inplace)

    def assert_version(self, minimum: int) -> None:
        """Raise unless the model has at least this version.

        Args:
            minimum: the oldest version that will do.

        Raises:
            WeightsError: the model's is older.
        """
        if self.version < minimum:
            raise WeightsError(
                f"The weights are stale: version {self.version}, at least {minimum} is asked for. "
                "Call `receive` first, or `send` if nothing newer was sent."
            )

    # ------------------------------------------------------------------------ end

    def shutdown(self) -> None:
        """End this side's part; twice is harmless."""
        if self._role is None or self.is_closed or self._pid != os.getpid():
            return
        self.is_closed = True
        if self.initialized_on_sender:
            self._board.close()
            for transport in self._transports.values():
                close: Callable[[], None] | None = getattr(transport, "close", None)
                if close is not None:
                    close()
        elif self._inbox is not None:
            self._inbox.close()
        if self._watch is not None:
            self._watch.close()

    def _begin(self, role: str, model_id: str, context: Any) -> None:  # noqa: ANN401
        # a forked worker inherits the sender's role, which is not its own
        if self._role is not None and self._pid == os.getpid():
            raise RLError(
                f"This scheme is the {self._role} already. A receiver in the same process is "
                "`scheme.receiver()`; for another model make another scheme."
            )
        self._forget_role()
        self._role, self._pid = role, os.getpid()
        self.model_id, self.context = model_id, context

    def _require_role(self, role: str) -> None:
        if self._role != role or self._pid != os.getpid():
            raise RLError(f"This is not the {role}: call `init_on_{role}` in this process first.")
        if self.is_closed:
            raise RLError("The scheme was shut down: make a new one.")
