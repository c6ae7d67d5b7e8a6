"""Networks, actors, critics and exploration: everything that maps a TensorDict to an action."""

from rl.core.distributions import (
    Delta,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    ReparamGradientStrategy,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
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
from rl.core.modules.recurrent.cells import GRUCell, LSTMCell
from rl.core.modules.recurrent.gru import GRUModule
from rl.core.modules.recurrent.layout import canonicalize_rnn_subset
from rl.core.modules.recurrent.lstm import LSTMModule
from rl.core.modules.recurrent.mode import recurrent_mode, set_recurrent_mode
from rl.core.modules.recurrent.module import RecurrentModule
from rl.core.modules.recurrent.networks import GRU, LSTM
from rl.core.modules.recurrent.primers import (
    get_env_transforms_from_module,
    get_primers_from_module,
)

__all__ = [
    "GRU",
    "LSTM",
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
    "GRUCell",
    "GRUModule",
    "IndependentNormal",
    "LSTMCell",
    "LSTMModule",
    "MaskedCategorical",
    "MaskedOneHotCategorical",
    "NoisyLazyLinear",
    "NoisyLinear",
    "NormalParamExtractor",
    "NormalParamWrapper",
    "NormalParamsWrapper",
    "OneHotCategorical",
    "OrnsteinUhlenbeckProcessModule",
    "OrnsteinUhlenbeckProcessWrapper",
    "ProbabilisticActor",
    "QValueActor",
    "QValueHook",
    "QValueModule",
    "RandomPolicy",
    "RecurrentModule",
    "ReparamGradientStrategy",
    "SafeModule",
    "SafeProbabilisticModule",
    "SafeProbabilisticTensorDictSequential",
    "SafeSequential",
    "TanhDelta",
    "TanhModule",
    "TanhNormal",
    "TruncatedNormal",
    "ValueOperator",
    "VmapModule",
    "action_space_of",
    "canonicalize_rnn_subset",
    "ensure_tensordict_compatible",
    "exploration_type",
    "get_env_transforms_from_module",
    "get_primers_from_module",
    "greedy",
    "is_tensordict_compatible",
    "recurrent_mode",
    "reset_noise",
    "set_exploration_modules_spec_from_env",
    "set_exploration_type",
    "set_recurrent_mode",
    "value_of",
]
