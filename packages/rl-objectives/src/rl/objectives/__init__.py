"""Losses, value estimators, target updaters and trainers."""

from __future__ import annotations

from rl.core.contract.version import require_contract
from rl.objectives.losses import (
    AUTO_LOSS_MASK_KEYS,
    A2CLoss,
    ClipPPOLoss,
    DDPGLoss,
    DiscreteSACLoss,
    DQNLoss,
    KLPENPPOLoss,
    LossModule,
    PPOLoss,
    ReinforceLoss,
    SACLoss,
    TD3Loss,
    distance_loss,
    hold_out_net,
    hold_out_params,
)
from rl.objectives.next_value import next_state_value
from rl.objectives.optimizers import group_optimizers
from rl.objectives.targets import HardUpdate, SoftUpdate, TargetNetUpdater
from rl.objectives.value import (
    GAE,
    MultiAgentGAE,
    TD0Estimator,
    TD1Estimator,
    TDLambdaEstimator,
    ValueEstimatorBase,
    ValueEstimators,
    VTrace,
    build_value_estimator,
    default_value_kwargs,
    get_value_estimator_entry,
    register_value_estimator,
)

require_contract("rl-objectives", 1)

__all__ = [
    "AUTO_LOSS_MASK_KEYS",
    "GAE",
    "A2CLoss",
    "ClipPPOLoss",
    "DDPGLoss",
    "DQNLoss",
    "DiscreteSACLoss",
    "HardUpdate",
    "KLPENPPOLoss",
    "LossModule",
    "MultiAgentGAE",
    "PPOLoss",
    "ReinforceLoss",
    "SACLoss",
    "SoftUpdate",
    "TD0Estimator",
    "TD1Estimator",
    "TD3Loss",
    "TDLambdaEstimator",
    "TargetNetUpdater",
    "VTrace",
    "ValueEstimatorBase",
    "ValueEstimators",
    "build_value_estimator",
    "default_value_kwargs",
    "distance_loss",
    "get_value_estimator_entry",
    "group_optimizers",
    "hold_out_net",
    "hold_out_params",
    "next_state_value",
    "register_value_estimator",
]
