"""Weights on their way from a learner to whoever acts."""

from rl.core.weights.versioned import Weights, WeightsError, apply_weights, versioned_weights

__all__ = ["Weights", "WeightsError", "apply_weights", "versioned_weights"]
