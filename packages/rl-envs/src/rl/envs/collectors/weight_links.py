"""The weight-sync schemes of a collector: what it is sent, and when it loads that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rl.core import RLError, WeightSyncScheme

__all__ = ["WeightLinks"]


class WeightLinks:
    """Holds the receiving ends of a collector's schemes, and the sending ends that live here.

    Args:
        collector: has the models, at the paths that name them.
        source: the trained policy.
        local: schemes between the trained policy and the collecting one, both in this process.
        remote: schemes whose senders are elsewhere.
        worker_idx: this collector's number among their receivers.

    Raises:
        RLError: `local` names another model than the policy.

    Example:
        >>> WeightLinks(None, None, {}, {}, None).version is None
        True
    """

    def __init__(
        self,
        collector: Any,  # noqa: ANN401 (a collector)
        source: Any,  # noqa: ANN401 (what is trained)
        local: Mapping[str, WeightSyncScheme],
        remote: Mapping[str, WeightSyncScheme],
        worker_idx: int | None,
    ) -> None:
        for model_id in local:
            if model_id != "policy":
                raise RLError(
                    f"`weight_sync_schemes` names `{model_id}`: of what a collector holds in this "
                    "process, its `policy` alone is trained here. A model that is trained "
                    "elsewhere is received with `weight_recv_schemes`."
                )
        self._senders = dict(local)
        self._receivers: dict[str, WeightSyncScheme] = {}
        for model_id, scheme in local.items():
            scheme.init_on_sender(model_id=model_id, model=source, num_workers=1)
            self._receive_with(model_id, scheme.receiver(), collector, 0)
            scheme.connect()
        for model_id, scheme in remote.items():
            self._receive_with(model_id, scheme, collector, worker_idx)

    def _receive_with(
        self,
        model_id: str,
        scheme: WeightSyncScheme,
        collector: Any,  # noqa: ANN401
        worker_idx: int | None,
    ) -> None:
        scheme.init_on_receiver(model_id=model_id, context=collector)
        scheme.connect(worker_idx=worker_idx)
        self._receivers[model_id] = scheme

    @property
    def version(self) -> int | None:
        """The version of the collecting policy's weights; None where no scheme brings them."""
        scheme = self._receivers.get("policy")
        return None if scheme is None or scheme.version < 0 else scheme.version

    def load(self) -> None:
        """Load the newest weights of every model that was sent some, without waiting.

        Raises:
            WorkerError: a sender is gone.
            WeightsError: weights do not fit.
        """
        for scheme in self._receivers.values():
            scheme.receive(timeout=0.0)

    def send(self, weights: Any) -> bool:  # noqa: ANN401 (what schemes take)
        """Send the policy's weights from here to here; tell whether there is a scheme for it."""
        scheme = self._senders.get("policy")
        if scheme is None:
            return False
        scheme.send_async(weights)
        self._receivers["policy"].receive()
        scheme.wait_async()
        return True

    def shutdown(self) -> None:
        """End every scheme's part."""
        for scheme in [*self._receivers.values(), *self._senders.values()]:
            scheme.shutdown()
