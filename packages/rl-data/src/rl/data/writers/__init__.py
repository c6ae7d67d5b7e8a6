"""Writers: where new rows go."""

from rl.data.writers.base import Writer
from rl.data.writers.ensemble import WriterEnsemble
from rl.data.writers.immutable import ImmutableDatasetWriter
from rl.data.writers.max_value import TensorDictMaxValueWriter
from rl.data.writers.round_robin import RoundRobinWriter, TensorDictRoundRobinWriter

__all__ = [
    "ImmutableDatasetWriter",
    "RoundRobinWriter",
    "TensorDictMaxValueWriter",
    "TensorDictRoundRobinWriter",
    "Writer",
    "WriterEnsemble",
]
