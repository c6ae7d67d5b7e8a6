"""Loggers: where the numbers of an experiment go."""

from rl.core.loggers.base import Logger
from rl.core.loggers.csv import CSVLogger
from rl.core.loggers.factory import LOGGERS, generate_exp_name, get_logger
from rl.core.loggers.mlflow import MLFlowLogger
from rl.core.loggers.monitor import LoggerMonitor
from rl.core.loggers.process import LoggerClient, ProcessLogger, ServedLogger
from rl.core.loggers.schedule import Every
from rl.core.loggers.tensorboard import TensorboardLogger
from rl.core.loggers.trackio import TrackioLogger
from rl.core.loggers.video import write_video
from rl.core.loggers.wandb import WandbLogger

__all__ = [
    "LOGGERS",
    "CSVLogger",
    "Every",
    "Logger",
    "LoggerClient",
    "LoggerMonitor",
    "MLFlowLogger",
    "ProcessLogger",
    "ServedLogger",
    "TensorboardLogger",
    "TrackioLogger",
    "WandbLogger",
    "generate_exp_name",
    "get_logger",
    "write_video",
]
