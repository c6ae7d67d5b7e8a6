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
from rl.core.modules.actors.decision_transformer import DecisionTransformerInferenceWrapper
from rl.core.modules.actors.distributional_q_value import (
    DistributionalQValueActor,
    DistributionalQValueHook,
    DistributionalQValueModule,
)
from rl.core.modules.actors.lm_head import LMHeadActorValueOperator
from rl.core.modules.actors.multi_step import MultiStepActorWrapper
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
from rl.core.modules.actors.world_model import WorldModelWrapper
from rl.core.modules.exploration.consistent_dropout import (
    ConsistentDropout,
    ConsistentDropoutModule,
)
from rl.core.modules.exploration.e_greedy import EGreedyModule, EGreedyWrapper
from rl.core.modules.exploration.from_env import set_exploration_modules_spec_from_env
from rl.core.modules.exploration.gaussian import AdditiveGaussianModule, AdditiveGaussianWrapper
from rl.core.modules.exploration.gsde import LazygSDEModule, gSDEModule
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
from rl.core.modules.functional import signed_hyperbolic, signed_parabolic, symexp, symlog
from rl.core.modules.multiagent.conv import MultiAgentConvNet
from rl.core.modules.multiagent.cross_group_critic import CrossCriticGroupSpec, CrossGroupCritic
from rl.core.modules.multiagent.mixers import Mixer, QMixer, VDNMixer
from rl.core.modules.multiagent.mlp import MultiAgentMLP
from rl.core.modules.multiagent.net_base import MultiAgentNetBase
from rl.core.modules.networks.act import ACTModel
from rl.core.modules.networks.batch_renorm import BatchRenorm1d
from rl.core.modules.networks.causal_transformer import DTConfig
from rl.core.modules.networks.conv import Conv2dNet, ConvNet
from rl.core.modules.networks.conv3d import Conv3dNet
from rl.core.modules.networks.ddpg import DdpgMlpActor, DdpgMlpQNet
from rl.core.modules.networks.ddpg_cnn import DdpgCnnActor, DdpgCnnQNet
from rl.core.modules.networks.decision_transformer import (
    DecisionTransformer,
    DTActor,
    OnlineDTActor,
)
from rl.core.modules.networks.distributional import DistributionalDQNnet
from rl.core.modules.networks.dueling import DuelingCnnDQNet, DuelingMlpDQNet
from rl.core.modules.networks.mlp import MLP
from rl.core.modules.networks.reshaping import SquashDims, Squeeze2dLayer, SqueezeLayer
from rl.core.modules.planners.cem import CEMPlanner
from rl.core.modules.planners.mpc import MPCPlannerBase
from rl.core.modules.planners.mppi import MPPIPlanner
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
from rl.core.modules.search.exp3 import EXP3Score
from rl.core.modules.search.puct import PUCTScore
from rl.core.modules.search.score import MCTSScore
from rl.core.modules.search.score_enum import MCTSScores
from rl.core.modules.search.ucb import UCB1TunedScore, UCBScore
from rl.core.modules.values.norm import PopArtValueNorm, RunningValueNorm, ValueNorm
from rl.core.modules.values.transform import (
    ComposeValueTransform,
    IdentityValueTransform,
    SignedHyperbolicValueTransform,
    SymLogValueTransform,
    ValueTransform,
)
from rl.core.modules.world_models.dreamer_actor import DreamerActor
from rl.core.modules.world_models.dreamer_v3_mlp import DreamerV3MLP
from rl.core.modules.world_models.image_coding import ObsDecoder, ObsEncoder
from rl.core.modules.world_models.rssm import RSSMPosterior, RSSMPrior
from rl.core.modules.world_models.rssm_rollout import RSSMRollout, RSSMRolloutV3
from rl.core.modules.world_models.rssm_v3 import RSSMPosteriorV3, RSSMPriorV3
from rl.core.modules.world_models.two_hot import SymExpTwoHot
from rl.core.modules.world_models.world_model import WorldModel

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "ACTModel",
    "Actor",
    "ActorCriticOperator",
    "ActorCriticWrapper",
    "ActorValueOperator",
    "AdditiveGaussianModule",
    "AdditiveGaussianWrapper",
    "BatchRenorm1d",
    "CEMPlanner",
    "ComposeValueTransform",
    "ConsistentDropout",
    "ConsistentDropoutModule",
    "Conv2dNet",
    "Conv3dNet",
    "ConvNet",
    "CrossCriticGroupSpec",
    "CrossGroupCritic",
    "DTActor",
    "DTConfig",
    "DdpgCnnActor",
    "DdpgCnnQNet",
    "DdpgMlpActor",
    "DdpgMlpQNet",
    "DecisionTransformer",
    "DecisionTransformerInferenceWrapper",
    "Delta",
    "DistributionalDQNnet",
    "DistributionalQValueActor",
    "DistributionalQValueHook",
    "DistributionalQValueModule",
    "DreamerActor",
    "DreamerV3MLP",
    "DuelingCnnDQNet",
    "DuelingMlpDQNet",
    "EGreedyModule",
    "EGreedyWrapper",
    "EXP3Score",
    "ExplorationModule",
    "ExplorationType",
    "FasterTransformedDistribution",
    "FusedCategorical",
    "FusedDistribution",
    "GRUCell",
    "GRUModule",
    "IdentityValueTransform",
    "IndependentNormal",
    "LLMMaskedCategorical",
    "LMHeadActorValueOperator",
    "LSTMCell",
    "LSTMModule",
    "LazygSDEModule",
    "MCTSScore",
    "MCTSScores",
    "MPCPlannerBase",
    "MPPIPlanner",
    "MaskedCategorical",
    "MaskedOneHotCategorical",
    "Mixer",
    "MultiAgentConvNet",
    "MultiAgentMLP",
    "MultiAgentNetBase",
    "MultiStepActorWrapper",
    "NoisyLazyLinear",
    "NoisyLinear",
    "NormalParamExtractor",
    "NormalParamWrapper",
    "NormalParamsWrapper",
    "ObsDecoder",
    "ObsEncoder",
    "OneHotCategorical",
    "OneHotOrdinal",
    "OnlineDTActor",
    "Ordinal",
    "OrnsteinUhlenbeckProcessModule",
    "OrnsteinUhlenbeckProcessWrapper",
    "PUCTScore",
    "PopArtValueNorm",
    "ProbabilisticActor",
    "QMixer",
    "QValueActor",
    "QValueHook",
    "QValueModule",
    "RSSMPosterior",
    "RSSMPosteriorV3",
    "RSSMPrior",
    "RSSMPriorV3",
    "RSSMRollout",
    "RSSMRolloutV3",
    "RandomPolicy",
    "RecurrentModule",
    "ReparamGradientStrategy",
    "RunningValueNorm",
    "SafeModule",
    "SafeProbabilisticModule",
    "SafeProbabilisticTensorDictSequential",
    "SafeSequential",
    "SafeTanhTransform",
    "SignedHyperbolicValueTransform",
    "SquashDims",
    "Squeeze2dLayer",
    "SqueezeLayer",
    "SymExpTwoHot",
    "SymLogValueTransform",
    "TanhDelta",
    "TanhModule",
    "TanhNormal",
    "TruncatedNormal",
    "TruncatedStandardNormal",
    "UCB1TunedScore",
    "UCBScore",
    "VDNMixer",
    "ValueNorm",
    "ValueOperator",
    "ValueTransform",
    "VmapModule",
    "WorldModel",
    "WorldModelWrapper",
    "action_space_of",
    "canonicalize_rnn_subset",
    "composite_entropy",
    "distributions_maps",
    "ensure_tensordict_compatible",
    "exploration_type",
    "gSDEModule",
    "get_env_transforms_from_module",
    "get_primers_from_module",
    "greedy",
    "is_tensordict_compatible",
    "kl_divergence",
    "recurrent_mode",
    "reset_noise",
    "rsample_and_log_prob",
    "sample_and_log_prob",
    "set_exploration_modules_spec_from_env",
    "set_exploration_type",
    "set_recurrent_mode",
    "signed_hyperbolic",
    "signed_parabolic",
    "symexp",
    "symlog",
    "value_of",
]
