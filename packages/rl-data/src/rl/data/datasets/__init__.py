"""Datasets as buffers: read once from the source's files, then mapped from disk."""

from rl.data.datasets.atari_dqn import AtariDQNExperienceReplay
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.d4rl import D4RLExperienceReplay
from rl.data.datasets.error import DatasetError, DatasetNotFoundError
from rl.data.datasets.gen_dgrl import GenDGRLExperienceReplay
from rl.data.datasets.lerobot import LeRobotExperienceReplay
from rl.data.datasets.lerobot_columns import lerobot_columns_to_tensordict
from rl.data.datasets.minari import MinariExperienceReplay
from rl.data.datasets.minari_export import to_minari
from rl.data.datasets.offline_to_online import OfflineToOnlineReplayBuffer, prefill_replay_buffer
from rl.data.datasets.openml import OpenMLExperienceReplay
from rl.data.datasets.openx import OpenXExperienceReplay
from rl.data.datasets.registry import DATASETS, load_dataset, register_dataset
from rl.data.datasets.roboset import RobosetExperienceReplay
from rl.data.datasets.vd4rl import VD4RLExperienceReplay

__all__ = [
    "DATASETS",
    "AtariDQNExperienceReplay",
    "BaseDatasetExperienceReplay",
    "D4RLExperienceReplay",
    "DatasetError",
    "DatasetNotFoundError",
    "GenDGRLExperienceReplay",
    "LeRobotExperienceReplay",
    "MinariExperienceReplay",
    "OfflineToOnlineReplayBuffer",
    "OpenMLExperienceReplay",
    "OpenXExperienceReplay",
    "RobosetExperienceReplay",
    "VD4RLExperienceReplay",
    "lerobot_columns_to_tensordict",
    "load_dataset",
    "prefill_replay_buffer",
    "register_dataset",
    "to_minari",
]
