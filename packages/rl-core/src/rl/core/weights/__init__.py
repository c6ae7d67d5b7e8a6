"""Weights on their way from a learner to whoever acts."""

from rl.core.weights.backends import (
    WEIGHT_SYNC,
    WeightSyncBackend,
    register_weight_sync_backend,
)
from rl.core.weights.multi_process import MPTransport, MultiProcessWeightSyncScheme
from rl.core.weights.no_sync import NoWeightSyncScheme
from rl.core.weights.scheme import WeightSyncScheme
from rl.core.weights.shared_memory import SharedMemTransport, SharedMemWeightSyncScheme
from rl.core.weights.strategy import WeightStrategy
from rl.core.weights.transport import InitialSyncTransport, TransportBackend
from rl.core.weights.versioned import Weights, WeightsError, apply_weights, versioned_weights

__all__ = [
    "WEIGHT_SYNC",
    "InitialSyncTransport",
    "MPTransport",
    "MultiProcessWeightSyncScheme",
    "NoWeightSyncScheme",
    "SharedMemTransport",
    "SharedMemWeightSyncScheme",
    "TransportBackend",
    "WeightStrategy",
    "WeightSyncBackend",
    "WeightSyncScheme",
    "Weights",
    "WeightsError",
    "apply_weights",
    "register_weight_sync_backend",
    "versioned_weights",
]
