"""Losses: modules that turn a batch into the scalars to minimise and the metrics to watch."""

from __future__ import annotations

from rl.objectives.losses.a2c import A2CLoss
from rl.objectives.losses.base import LossModule
from rl.objectives.losses.clip_ppo import ClipPPOLoss
from rl.objectives.losses.ddpg import DDPGLoss
from rl.objectives.losses.discrete_sac import DiscreteSACLoss
from rl.objectives.losses.dqn import DQNLoss
from rl.objectives.losses.kl_pen_ppo import KLPENPPOLoss
from rl.objectives.losses.mode import hold_out_net, hold_out_params
from rl.objectives.losses.ppo import PPOLoss
from rl.objectives.losses.reduction import AUTO_LOSS_MASK_KEYS, distance_loss
from rl.objectives.losses.reinforce import ReinforceLoss
from rl.objectives.losses.sac import SACLoss
from rl.objectives.losses.td3 import TD3Loss

__all__ = [
    "AUTO_LOSS_MASK_KEYS",
    "A2CLoss",
    "ClipPPOLoss",
    "DDPGLoss",
    "DQNLoss",
    "DiscreteSACLoss",
    "KLPENPPOLoss",
    "LossModule",
    "PPOLoss",
    "ReinforceLoss",
    "SACLoss",
    "TD3Loss",
    "distance_loss",
    "hold_out_net",
    "hold_out_params",
]
