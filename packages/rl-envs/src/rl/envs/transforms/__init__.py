"""Transforms of envs: one per module, each a pair of functions on specs and on data."""

from rl.envs.transforms.action_mask import ActionMask
from rl.envs.transforms.binarize_reward import BinarizeReward
from rl.envs.transforms.cat_frames import CatFrames
from rl.envs.transforms.cat_tensors import CatTensors
from rl.envs.transforms.clip import ClipTransform
from rl.envs.transforms.crop import CenterCrop, Crop
from rl.envs.transforms.device_cast import DeviceCastTransform
from rl.envs.transforms.dtype_cast import DoubleToFloat, DTypeCastTransform
from rl.envs.transforms.end_of_life import EndOfLifeTransform
from rl.envs.transforms.finite_check import FiniteTensorDictCheck
from rl.envs.transforms.flatten_observation import FlattenObservation
from rl.envs.transforms.frame_skip import FrameSkipTransform
from rl.envs.transforms.gray_scale import GrayScale
from rl.envs.transforms.init_tracker import InitTracker
from rl.envs.transforms.noop_reset import NoopResetEnv
from rl.envs.transforms.observation import ObservationTransform
from rl.envs.transforms.observation_norm import ObservationNorm
from rl.envs.transforms.permute import PermuteTransform
from rl.envs.transforms.primer import TensorDictPrimer
from rl.envs.transforms.rename import RenameTransform
from rl.envs.transforms.resize import Resize
from rl.envs.transforms.reward_clipping import RewardClipping
from rl.envs.transforms.reward_scaling import RewardScaling
from rl.envs.transforms.reward_sum import RewardSum
from rl.envs.transforms.select import ExcludeTransform, SelectTransform
from rl.envs.transforms.sign import SignTransform
from rl.envs.transforms.stack import Stack
from rl.envs.transforms.step_counter import StepCounter
from rl.envs.transforms.target_return import TargetReturn
from rl.envs.transforms.to_tensor_image import ToTensorImage
from rl.envs.transforms.unary import UnaryTransform
from rl.envs.transforms.unsqueeze import SqueezeTransform, UnsqueezeTransform
from rl.envs.transforms.vec_norm import VecNorm, VecNormV2

__all__ = [
    "ActionMask",
    "BinarizeReward",
    "CatFrames",
    "CatTensors",
    "CenterCrop",
    "ClipTransform",
    "Crop",
    "DTypeCastTransform",
    "DeviceCastTransform",
    "DoubleToFloat",
    "EndOfLifeTransform",
    "ExcludeTransform",
    "FiniteTensorDictCheck",
    "FlattenObservation",
    "FrameSkipTransform",
    "GrayScale",
    "InitTracker",
    "NoopResetEnv",
    "ObservationNorm",
    "ObservationTransform",
    "PermuteTransform",
    "RenameTransform",
    "Resize",
    "RewardClipping",
    "RewardScaling",
    "RewardSum",
    "SelectTransform",
    "SignTransform",
    "SqueezeTransform",
    "Stack",
    "StepCounter",
    "TargetReturn",
    "TensorDictPrimer",
    "ToTensorImage",
    "UnaryTransform",
    "UnsqueezeTransform",
    "VecNorm",
    "VecNormV2",
]
