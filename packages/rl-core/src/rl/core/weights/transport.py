"""What carries weights between two processes: the protocols of transports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rl.core.weights.strategy import WeightStrategy

__all__ = ["InitialSyncTransport", "TransportBackend"]


@runtime_checkable
class TransportBackend(Protocol):
    """Carries weights one way, from a sender to one receiver."""

    def send_weights(self, weights: Any) -> None:  # noqa: ANN401 (`Weights`, as schemes send them)
        """Send weights, without waiting until they are loaded.

        Args:
            weights: `Weights`; they may change afterwards.

        Raises:
            WorkerError: the receiver takes nothing any more.
        """

    def receive_weights(
        self,
        timeout: float | None = None,
        *,
        weights: Any = None,  # noqa: ANN401
        model: Any = None,  # noqa: ANN401
        strategy: WeightStrategy | None = None,
    ) -> Any | None:  # noqa: ANN401
        """Return the newest weights that were not received before, None for none in time.

        Args:
            timeout: the longest wait, in seconds; the transport's own if None.
            weights: a TensorDict that takes them.
            model: a module that takes them.
            strategy: how they are put there.
        """


@runtime_checkable
class InitialSyncTransport(Protocol):
    """A transport that does something of its own before the first weights are received."""

    def setup_connection_and_weights_on_sender(self) -> None:
        """Prepare the sender's side, once, after the workers were started."""

    def setup_connection_and_weights_on_receiver(
        self,
        *,
        worker_idx: int,
        weights: Any = None,  # noqa: ANN401
        model: Any = None,  # noqa: ANN401
        strategy: WeightStrategy | None = None,
    ) -> Any:  # noqa: ANN401
        """Prepare the receiver's side, once.

        Args:
            worker_idx: the receiver's number.
            weights: a TensorDict that takes the first weights.
            model: a module that takes them.
            strategy: how they are put there.
        """
