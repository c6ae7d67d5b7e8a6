"""Training loops and their hooks."""

from __future__ import annotations

from rl.objectives.trainers.batches import (
    BatchSubSampler,
    RewardNormalizer,
    SelectKeys,
    ValueEstimatorHook,
    mask_batch,
)
from rl.objectives.trainers.early_stopping import EarlyStopping
from rl.objectives.trainers.error import TrainingError
from rl.objectives.trainers.hook_base import TrainerHookBase
from rl.objectives.trainers.log_timing import LogTiming
from rl.objectives.trainers.logs import CountFramesLog, LogScalar, LogValidationReward
from rl.objectives.trainers.optimization import (
    DefaultOptimizationStepper,
    LRSchedulerHook,
    OptimizationStepper,
    OptimizerHook,
)
from rl.objectives.trainers.replay import ReplayBufferTrainer
from rl.objectives.trainers.trainer import Trainer
from rl.objectives.trainers.updates import ClearCudaCache, TargetNetUpdaterHook, UpdateWeights
from rl.objectives.trainers.watchdog import Watchdog

__all__ = [
    "BatchSubSampler",
    "ClearCudaCache",
    "CountFramesLog",
    "DefaultOptimizationStepper",
    "EarlyStopping",
    "LRSchedulerHook",
    "LogScalar",
    "LogTiming",
    "LogValidationReward",
    "OptimizationStepper",
    "OptimizerHook",
    "ReplayBufferTrainer",
    "RewardNormalizer",
    "SelectKeys",
    "TargetNetUpdaterHook",
    "Trainer",
    "TrainerHookBase",
    "TrainingError",
    "UpdateWeights",
    "ValueEstimatorHook",
    "Watchdog",
    "mask_batch",
]
