"""Python calls per step: they do not flicker as times do."""

import cProfile
import pstats

import pytest
import torch

from rl.core import Unbounded
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import (
    CatFrames,
    CatTensors,
    DoubleToFloat,
    InitTracker,
    ObservationNorm,
    RenameTransform,
    RewardClipping,
    RewardScaling,
    RewardSum,
    StepCounter,
    TensorDictPrimer,
    VecNorm,
)

STEPS = 50
BUDGET = {
    "step_counter": (lambda: StepCounter(), 20),
    "step_counter_max": (lambda: StepCounter(100), 30),
    "reward_sum": (lambda: RewardSum(), 20),
    "init_tracker": (lambda: InitTracker(), 25),
    "observation_norm": (lambda: ObservationNorm(0.0, 1.0, in_keys=["observation"]), 20),
    "reward_scaling": (lambda: RewardScaling(0.0, 2.0), 20),
    "reward_clipping": (lambda: RewardClipping(-1, 1), 20),
    "double_to_float": (lambda: DoubleToFloat(), 20),
    "rename": (lambda: RenameTransform(["observation"], ["o"]), 30),
    "cat_tensors": (lambda: CatTensors(["observation"], "o"), 30),
    "cat_frames": (lambda: CatFrames(3, -1, in_keys=["observation"]), 30),
    "vec_norm": (lambda: VecNorm(in_keys=["observation"]), 40),
    "primer": (lambda: TensorDictPrimer(hidden=Unbounded((3,))), 30),
}


@pytest.mark.parametrize("name", BUDGET)
def test_calls_per_step(counting, name):
    make, budget = BUDGET[name]
    transform = make()
    env = TransformedEnv(counting(), transform)
    root = env.rand_action(env.reset())
    after = env.base_env.step_next(root)
    copies = [after.copy() for _ in range(STEPS + 1)]
    transform._step(root, copies.pop())
    profile = cProfile.Profile()
    with torch.no_grad(), profile:
        for copy in copies:
            transform._step(root, copy)
    assert pstats.Stats(profile).total_calls / STEPS <= budget
