"""`NoWeightSyncScheme`: for models that need no weights from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from rl.core.errors import RLError
from rl.core.weights.scheme import WeightSyncScheme

__all__ = ["NoWeightSyncScheme"]


class NoWeightSyncScheme(WeightSyncScheme):
    """Sends nothing: sender and receivers share the model, or it is never trained.

    Args:
        strategy: taken for the sake of the other schemes.

    Example:
        >>> scheme = NoWeightSyncScheme()
        >>> scheme.init_on_sender(model_id="policy")
        >>> scheme.send()
        >>> scheme.receive() is None
        True
    """

    def __init__(self, strategy: str = "tensordict") -> None:
        super().__init__(strategy)

    def init_on_sender(
        self,
        *,
        model_id: str = "policy",
        context: Any = None,  # noqa: ANN401
        **kwargs: Any,
    ) -> None:
        """Make this the sender.

        Args:
            model_id: the model's name.
            context: has the model.
            **kwargs: what the other schemes take.
        """
        del kwargs
        self._begin("sender", model_id, context)

    def init_on_receiver(
        self,
        *,
        model_id: str = "policy",
        context: Any = None,  # noqa: ANN401
        **kwargs: Any,
    ) -> None:
        """Make this a receiver.

        Args:
            model_id: the model's name.
            context: has the model.
            **kwargs: what the other schemes take.
        """
        del kwargs
        self._begin("receiver", model_id, context)

    def connect(self, *, worker_idx: int | None = None, weights: Any = None) -> None:  # noqa: ANN401
        """Wait for nobody."""
        del weights
        self.worker_idx = worker_idx
        self.synchronized_on_sender = self.initialized_on_sender
        self.synchronized_on_receiver = self.initialized_on_receiver

    def send_async(
        self,
        weights: Any = None,  # noqa: ANN401
        worker_ids: int | Iterable[int] | None = None,
    ) -> None:
        """Send nothing."""
        del weights, worker_ids

    def send(
        self,
        weights: Any = None,  # noqa: ANN401
        worker_ids: int | Iterable[int] | None = None,
    ) -> None:
        """Send nothing."""
        del weights, worker_ids

    def wait_async(self, timeout_s: float | None = None) -> None:
        """Wait for nothing."""
        del timeout_s

    def receive(self, timeout: float | None = None) -> None:
        """Return None: nothing comes."""
        del timeout

    def create_transport(self, **kwargs: Any) -> NoReturn:
        """Raise: there is nothing to carry."""
        raise RLError("`NoWeightSyncScheme` carries nothing: use another scheme.")

    def shutdown(self) -> None:
        """End; there is nothing to close."""
        self.is_closed = True
