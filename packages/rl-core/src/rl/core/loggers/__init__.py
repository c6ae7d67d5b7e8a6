"""Loggers: where the numbers of an experiment go."""

from rl.core.loggers.base import Logger
from rl.core.loggers.csv import CSVLogger
from rl.core.loggers.factory import LOGGERS, generate_exp_name, get_logger
from rl.core.loggers.tensorboard import TensorboardLogger
from rl.core.loggers.video import write_video

__all__ = [
    "LOGGERS",
    "CSVLogger",
    "Logger",
    "TensorboardLogger",
    "generate_exp_name",
    "get_logger",
    "write_video",
]
