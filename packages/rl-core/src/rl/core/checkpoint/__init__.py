"""Checkpoints without pickle: safetensors and JSON, atomic, hashed, versioned."""

from rl.core.checkpoint.adapter import CheckpointAdapter
from rl.core.checkpoint.checkpoint import Checkpoint
from rl.core.checkpoint.component_table import Stateful
from rl.core.checkpoint.container import CheckpointFormat
from rl.core.checkpoint.dump_load_adapter import DumpLoadCheckpointAdapter
from rl.core.checkpoint.files import load_state, save_state, write_atomic
from rl.core.checkpoint.json_adapter import JSONCheckpointAdapter
from rl.core.checkpoint.load_result import CheckpointLoadResult, CheckpointStrictness
from rl.core.checkpoint.options import CheckpointOptions
from rl.core.checkpoint.payload import StateDictFormat
from rl.core.checkpoint.rng import GlobalRNGState
from rl.core.checkpoint.rotation import CheckpointBest, CheckpointMetricMode, CheckpointRotation
from rl.core.checkpoint.state_dict_adapter import StateDictCheckpointAdapter

__all__ = [
    "Checkpoint",
    "CheckpointAdapter",
    "CheckpointBest",
    "CheckpointFormat",
    "CheckpointLoadResult",
    "CheckpointMetricMode",
    "CheckpointOptions",
    "CheckpointRotation",
    "CheckpointStrictness",
    "DumpLoadCheckpointAdapter",
    "GlobalRNGState",
    "JSONCheckpointAdapter",
    "StateDictCheckpointAdapter",
    "StateDictFormat",
    "Stateful",
    "load_state",
    "save_state",
    "write_atomic",
]
