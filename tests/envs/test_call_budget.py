"""Python calls per env step: a budget that does not flicker as times do."""

from __future__ import annotations

import sys

import pytest

from rl.envs import (
    GymEnv,
    ObservationNorm,
    RewardClipping,
    RewardScaling,
    RewardSum,
    StepCounter,
    TransformedEnv,
)

STEPS = 200
PLAIN, TRANSFORM = 120, 30
SIMPLE = {
    "step_counter": StepCounter,
    "reward_sum": RewardSum,
    "observation_norm": lambda: ObservationNorm(loc=0.0, scale=1.0, in_keys=["observation"]),
    "reward_scaling": lambda: RewardScaling(loc=0.0, scale=1.0),
    "reward_clipping": lambda: RewardClipping(-1.0, 1.0),
}


def calls_per_step(env) -> float:
    """Return the calls of Python functions per step of a random rollout through resets."""
    count = 0

    def profile(frame, event, arg):
        nonlocal count
        count += event == "call"

    env.set_seed(0)
    env.rollout(STEPS, break_when_any_done=False)  # what is resolved once is resolved here
    sys.setprofile(profile)
    try:
        env.rollout(STEPS, break_when_any_done=False)
    finally:
        sys.setprofile(None)
    return count / STEPS


def test_plain_env():
    assert calls_per_step(GymEnv("CartPole-v1")) <= PLAIN


@pytest.mark.parametrize("name", SIMPLE)
def test_each_simple_transform(name):
    plain = calls_per_step(TransformedEnv(GymEnv("CartPole-v1")))
    assert (
        calls_per_step(TransformedEnv(GymEnv("CartPole-v1"), SIMPLE[name]())) - plain <= TRANSFORM
    )


def test_an_empty_chain_of_transforms():
    added = calls_per_step(TransformedEnv(GymEnv("CartPole-v1"))) - calls_per_step(
        GymEnv("CartPole-v1")
    )
    assert added <= TRANSFORM
