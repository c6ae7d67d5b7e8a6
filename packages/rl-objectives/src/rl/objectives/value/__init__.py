"""Value estimators: TensorDict modules that write advantages and value targets."""

from __future__ import annotations

from rl.objectives.value.base import ValueEstimatorBase
from rl.objectives.value.gae import GAE
from rl.objectives.value.multi_agent_gae import MultiAgentGAE
from rl.objectives.value.registry import (
    ValueEstimators,
    build_value_estimator,
    default_value_kwargs,
    get_value_estimator_entry,
    register_value_estimator,
)
from rl.objectives.value.td import TD0Estimator, TD1Estimator, TDLambdaEstimator
from rl.objectives.value.vtrace import VTrace

__all__ = [
    "GAE",
    "MultiAgentGAE",
    "TD0Estimator",
    "TD1Estimator",
    "TDLambdaEstimator",
    "VTrace",
    "ValueEstimatorBase",
    "ValueEstimators",
    "build_value_estimator",
    "default_value_kwargs",
    "get_value_estimator_entry",
    "register_value_estimator",
]
