"""Checkpoints without pickle: safetensors and JSON, atomic, hashed, versioned."""

from rl.core.checkpoint.checkpoint import (
    Checkpoint,
    CheckpointRotation,
    Stateful,
)
from rl.core.checkpoint.files import load_state, save_state, write_atomic
from rl.core.checkpoint.rng import GlobalRNGState

__all__ = [
    "Checkpoint",
    "CheckpointRotation",
    "GlobalRNGState",
    "Stateful",
    "load_state",
    "save_state",
    "write_atomic",
]
