"""Pure tensor functions: the mathematics of the losses and estimators, without TensorDict."""

from __future__ import annotations

from rl.core.scan import linear_recurrence
from rl.objectives.functional.gae import (
    generalized_advantage_estimate,
    vec_generalized_advantage_estimate,
)
from rl.objectives.functional.reward2go import reward2go
from rl.objectives.functional.td import (
    td0_advantage_estimate,
    td0_return_estimate,
    td1_advantage_estimate,
    td1_return_estimate,
    td_lambda_advantage_estimate,
    td_lambda_return_estimate,
    vec_td1_advantage_estimate,
    vec_td1_return_estimate,
    vec_td_lambda_advantage_estimate,
    vec_td_lambda_return_estimate,
)
from rl.objectives.functional.vtrace import vtrace_advantage_estimate

__all__ = [
    "generalized_advantage_estimate",
    "linear_recurrence",
    "reward2go",
    "td0_advantage_estimate",
    "td0_return_estimate",
    "td1_advantage_estimate",
    "td1_return_estimate",
    "td_lambda_advantage_estimate",
    "td_lambda_return_estimate",
    "vec_generalized_advantage_estimate",
    "vec_td1_advantage_estimate",
    "vec_td1_return_estimate",
    "vec_td_lambda_advantage_estimate",
    "vec_td_lambda_return_estimate",
    "vtrace_advantage_estimate",
]
