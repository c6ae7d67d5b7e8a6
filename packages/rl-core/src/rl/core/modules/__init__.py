"""Networks, actors, critics and exploration: everything that maps a TensorDict to an action."""

from rl.core.distributions import (
    Delta,
    FasterTransformedDistribution,
    FusedCategorical,
    FusedDistribution,
    IndependentNormal,
    LLMMaskedCategorical,
    MaskedCategorical,
    MaskedOneHotCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    ReparamGradientStrategy,
    SafeTanhTransform,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
    TruncatedStandardNormal,
    composite_entropy,
    distributions_maps,
    kl_divergence,
    rsample_and_log_prob,
    sample_and_log_prob,
)
from rl.core.modules.actors.action_space import action_space_of, greedy, value_of
from rl.core.modules.actors.actor import Actor, ProbabilisticActor
from rl.core.modules.actors.actor_critic import (
    ActorCriticOperator,
    ActorCriticWrapper,
    ActorValueOperator,
)
from rl.core.modules.actors.compat import ensure_tensordict_compatible, is_tensordict_compatible
from rl.core.modules.actors.distributional_q_value import (
    DistributionalQValueActor,
    DistributionalQValueHook,
    DistributionalQValueModule,
)
from rl.core.modules.actors.normal_params import NormalParamsWrapper, NormalParamWrapper
from rl.core.modules.actors.probabilistic import (
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
)
from rl.core.modules.actors.q_value import QValueActor, QValueHook, QValueModule
from rl.core.modules.actors.random_policy import RandomPolicy
from rl.core.modules.actors.safe_module import SafeModule, SafeSequential
from rl.core.modules.actors.tanh_module import TanhModule
from rl.core.modules.actors.value import ValueOperator
from rl.core.modules.actors.vmap import VmapModule
from rl.core.modules.exploration.e_greedy import EGreedyModule, EGreedyWrapper
from rl.core.modules.exploration.from_env import set_exploration_modules_spec_from_env
from rl.core.modules.exploration.gaussian import AdditiveGaussianModule, AdditiveGaussianWrapper
from rl.core.modules.exploration.modes import (
    ExplorationType,
    exploration_type,
    set_exploration_type,
)
from rl.core.modules.exploration.module import ExplorationModule
from rl.core.modules.exploration.noisy_linear import NoisyLazyLinear, NoisyLinear, reset_noise
from rl.core.modules.exploration.ornstein_uhlenbeck import (
    OrnsteinUhlenbeckProcessModule,
    OrnsteinUhlenbeckProcessWrapper,
)
from rl.core.modules.networks.conv import Conv2dNet, ConvNet
from rl.core.modules.networks.ddpg import DdpgMlpActor, DdpgMlpQNet
from rl.core.modules.networks.distributional import DistributionalDQNnet
from rl.core.modules.networks.dueling import DuelingCnnDQNet, DuelingMlpDQNet
from rl.core.modules.networks.mlp import MLP

__all__ = [
    "MLP",
    "Actor",
    "ActorCriticOperator",
    "ActorCriticWrapper",
    "ActorValueOperator",
    "AdditiveGaussianModule",
    "AdditiveGaussianWrapper",
    "Conv2dNet",
    "ConvNet",
    "DdpgMlpActor",
    "DdpgMlpQNet",
    "Delta",
    "DistributionalDQNnet",
    "DistributionalQValueActor",
    "DistributionalQValueHook",
    "DistributionalQValueModule",
    "DuelingCnnDQNet",
    "DuelingMlpDQNet",
    "EGreedyModule",
    "EGreedyWrapper",
    "ExplorationModule",
    "ExplorationType",
    "FasterTransformedDistribution",
    "FusedCategorical",
    "FusedDistribution",
    "IndependentNormal",
    "LLMMaskedCategorical",
    "MaskedCategorical",
    "MaskedOneHotCategorical",
    "NoisyLazyLinear",
    "NoisyLinear",
    "NormalParamExtractor",
    "NormalParamWrapper",
    "NormalParamsWrapper",
    "OneHotCategorical",
    "OneHotOrdinal",
    "Ordinal",
    "OrnsteinUhlenbeckProcessModule",
    "OrnsteinUhlenbeckProcessWrapper",
    "ProbabilisticActor",
    "QValueActor",
    "QValueHook",
    "QValueModule",
    "RandomPolicy",
    "ReparamGradientStrategy",
    "SafeModule",
    "SafeProbabilisticModule",
    "SafeProbabilisticTensorDictSequential",
    "SafeSequential",
    "SafeTanhTransform",
    "TanhDelta",
    "TanhModule",
    "TanhNormal",
    "TruncatedNormal",
    "TruncatedStandardNormal",
    "ValueOperator",
    "VmapModule",
    "action_space_of",
    "composite_entropy",
    "distributions_maps",
    "ensure_tensordict_compatible",
    "exploration_type",
    "greedy",
    "is_tensordict_compatible",
    "kl_divergence",
    "reset_noise",
    "rsample_and_log_prob",
    "sample_and_log_prob",
    "set_exploration_modules_spec_from_env",
    "set_exploration_type",
    "value_of",
]
