"""Networks, actors, critics and exploration: everything that maps a TensorDict to an action."""

from rl.core.distributions import NormalParamExtractor, OneHotCategorical, TanhNormal
from rl.core.modules.actors.action_space import action_space_of, greedy, value_of
from rl.core.modules.actors.actor import Actor, ProbabilisticActor
from rl.core.modules.actors.compat import ensure_tensordict_compatible, is_tensordict_compatible
from rl.core.modules.actors.probabilistic import (
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
)
from rl.core.modules.actors.q_value import QValueActor, QValueHook, QValueModule
from rl.core.modules.actors.safe_module import SafeModule, SafeSequential
from rl.core.modules.actors.value import ValueOperator
from rl.core.modules.networks.conv import Conv2dNet, ConvNet
from rl.core.modules.networks.mlp import MLP

__all__ = [
    "MLP",
    "Actor",
    "Conv2dNet",
    "ConvNet",
    "NormalParamExtractor",
    "OneHotCategorical",
    "ProbabilisticActor",
    "QValueActor",
    "QValueHook",
    "QValueModule",
    "SafeModule",
    "SafeProbabilisticModule",
    "SafeProbabilisticTensorDictSequential",
    "SafeSequential",
    "TanhNormal",
    "ValueOperator",
    "action_space_of",
    "ensure_tensordict_compatible",
    "greedy",
    "is_tensordict_compatible",
    "value_of",
]
