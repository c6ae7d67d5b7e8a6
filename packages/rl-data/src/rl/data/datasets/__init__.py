"""Datasets as buffers: read once from the source's files, then mapped from disk."""

from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.d4rl import D4RLExperienceReplay
from rl.data.datasets.error import DatasetError, DatasetNotFoundError
from rl.data.datasets.minari import MinariExperienceReplay
from rl.data.datasets.minari_export import to_minari

__all__ = [
    "BaseDatasetExperienceReplay",
    "D4RLExperienceReplay",
    "DatasetError",
    "DatasetNotFoundError",
    "MinariExperienceReplay",
    "to_minari",
]
