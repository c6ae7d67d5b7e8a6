"""Transforms of buffers, and what collectors apply to whole batches."""

from rl.data.transforms.action_chunk import ActionChunkTransform
from rl.data.transforms.burn_in import BurnInTransform
from rl.data.transforms.densify_reward import DensifyReward
from rl.data.transforms.multi_step import MultiStep
from rl.data.transforms.multi_step_transform import MultiStepTransform
from rl.data.transforms.next_state import NextStateReconstructor
from rl.data.transforms.reward2go import Reward2GoTransform
from rl.data.transforms.stack_frames import StackFrames

__all__ = [
    "ActionChunkTransform",
    "BurnInTransform",
    "DensifyReward",
    "MultiStep",
    "MultiStepTransform",
    "NextStateReconstructor",
    "Reward2GoTransform",
    "StackFrames",
]
