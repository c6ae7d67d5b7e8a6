"""Transforms that step the env: no-ops and frame skip."""

import pytest
import torch
from tensordict import TensorDict

from rl.core import Compose, RLError, SpecError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import (
    CatFrames,
    EndOfLifeTransform,
    FrameSkipTransform,
    NoopResetEnv,
    StepCounter,
)


def test_fixed_number_of_noops(counting):
    env = TransformedEnv(counting(), Compose(NoopResetEnv(5, random=False), StepCounter()))
    root = env.reset()
    assert root["observation"].tolist() == [5, 10, 15]
    assert root["step_count"].item() == 0
    assert root.get("action", None) is None
    assert env.rand_step(root)["next", "observation"].tolist() == [6, 12, 18]


def test_random_number_of_noops(counting):
    torch.manual_seed(0)
    env = TransformedEnv(counting(), NoopResetEnv(4))
    seen = {env.reset()["observation"][0].item() for _ in range(60)}
    assert seen == {1, 2, 3, 4}


def test_partial_reset_steps_the_reset_rows_only(counting):
    env = TransformedEnv(counting((2,)), NoopResetEnv(3, random=False))
    root = env.reset()
    assert root["observation"][:, 0].tolist() == [3, 3]
    root = env.step_mdp(env.rand_step(root))
    root = env.reset(root.set("_reset", torch.tensor([[False], [True]])))
    assert root["observation"][:, 0].tolist() == [4, 3]
    assert env.rand_step(root)["next", "observation"][:, 0].tolist() == [5, 4]


def test_too_many_noops(counting):
    env = TransformedEnv(counting(length=3), NoopResetEnv(5, random=False))
    with pytest.raises(RLError, match="lower `noops`"):
        env.reset()


def test_frame_skip_sums_rewards_and_stops_at_the_end(counting):
    data = TransformedEnv(counting(length=5), FrameSkipTransform(3)).rollout(9)
    assert data["next", "observation"][:, 0].tolist() == [3, 5]
    assert data["next", "reward"].flatten().tolist() == [1 + 2 + 3, 4 + 5]


def test_frame_skip_over_a_batch(counting):
    base = counting((2,), length=3)
    env = TransformedEnv(base, FrameSkipTransform(2))
    root = env.reset()
    base.count = torch.tensor([[0], [2]])  # the second one ends after one more step
    after = env.rand_step(root)["next"]
    assert after["reward"].flatten().tolist() == [1 + 2, 3]
    assert after["done"].flatten().tolist() == [False, True]
    assert base.count.flatten().tolist() == [2, 3]


def test_end_of_life(counting):
    base = counting()
    base.lives = 3
    env = TransformedEnv(base, EndOfLifeTransform(eol_attribute="lives"))
    root = env.reset()
    assert (root["lives"].item(), root["end-of-life"].item()) == (3, False)
    base.lives = 2
    root = env.rand_step(root)
    assert (root["next", "lives"].item(), root["next", "end-of-life"].item()) == (2, True)
    root = env.rand_step(env.step_mdp(root))
    assert not root["next", "end-of-life"].item()


def test_bad_input(counting):
    with pytest.raises(SpecError, match="give 0 or more"):
        NoopResetEnv(-1)
    with pytest.raises(SpecError, match="give 1 or more"):
        FrameSkipTransform(0)
    with pytest.raises(RLError, match=r"insert_transform\(0, NoopResetEnv\(\)\)"):
        TransformedEnv(
            counting(), Compose(CatFrames(2, -1, in_keys=["observation"]), NoopResetEnv())
        )
    data = TensorDict({"done": torch.zeros(1)})
    for use in (
        lambda: NoopResetEnv()._reset(None, data),
        lambda: FrameSkipTransform(2)._step(data, data),
        lambda: FrameSkipTransform(2)(data),
        lambda: EndOfLifeTransform()._reset(None, data),
    ):
        with pytest.raises(RLError, match="add it to a `TransformedEnv`"):
            use()
    with pytest.raises(RLError, match="pass `eol_attribute=`"):
        TransformedEnv(counting(), EndOfLifeTransform()).reset()
