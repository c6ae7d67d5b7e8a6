import pytest
import torch
from tensordict import TensorDict

from rl.core import MissingKeyError, ShapeError, SpecError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import RewardSum


def test_sums_the_rewards(counting):
    env = TransformedEnv(counting(), RewardSum())
    data = env.rollout(4)  # rewards 1, 2, 3, 4
    assert data["episode_reward"].flatten().tolist() == [0, 1, 3, 6]
    assert data["next", "episode_reward"].flatten().tolist() == [1, 3, 6, 10]
    assert "episode_reward" in env.observation_spec
    assert "episode_reward" in env.full_state_spec


def test_starts_again_where_the_env_resets(counting):
    env = TransformedEnv(counting(length=3), RewardSum())
    data = env.rollout(5, break_when_any_done=False)
    assert data["next", "episode_reward"].flatten().tolist() == [1, 3, 6, 1, 3]


def test_partial_reset(counting):
    env = TransformedEnv(counting((2,)), RewardSum())
    root = env.step_mdp(env.rand_step(env.reset()))
    root = env.reset(root.set("_reset", torch.tensor([[False], [True]])))
    assert root["episode_reward"].flatten().tolist() == [1, 0]


def test_nested_rewards(team):
    data = TransformedEnv(team((3,)), RewardSum()).rollout(3)
    last = data["next", "agents", "episode_reward"][:, -1]
    assert last.flatten(1).tolist() == [[3, 6]] * 3


def test_as_reward_it_remembers_the_sum(counting):
    env = TransformedEnv(counting((2,)), RewardSum(reward_spec=True))
    assert "episode_reward" in env.full_reward_spec
    assert "episode_reward" not in env.full_state_spec
    data = env.rollout(3)
    assert data["next", "episode_reward"][0].flatten().tolist() == [1, 3, 6]
    assert data.get("episode_reward", None) is None
    root = env.step_mdp(env.rand_step(env.reset()))
    root = env.reset(root.set("_reset", torch.tensor([[False], [True]])))
    assert env.rand_step(root)["next", "episode_reward"].flatten().tolist() == [3, 1]


def test_own_keys(counting):
    env = TransformedEnv(counting(), RewardSum(["reward"], ["total"], ["_reset"]))
    assert env.rollout(2)["next", "total"].flatten().tolist() == [1, 3]


def test_stored_data_gives_what_the_env_gives(counting):
    env = TransformedEnv(counting((2,), length=3), RewardSum())
    data = env.rollout(7, break_when_any_done=False)
    again = RewardSum()(data.exclude("episode_reward", ("next", "episode_reward")))
    for key in ("episode_reward", ("next", "episode_reward")):
        torch.testing.assert_close(again[key], data[key])


def test_numbers_of_keys():
    with pytest.raises(SpecError, match="give one per reward"):
        RewardSum(["reward"], ["a", "b"])


def test_missing_reward(counting):
    with pytest.raises(MissingKeyError, match="Did you mean `reward`"):
        TransformedEnv(counting(), RewardSum(["rewards"]))


def test_stored_data_needs_time_and_done():
    with pytest.raises(ShapeError, match="give a rollout"):
        RewardSum()(TensorDict({"reward": torch.ones(1)}))
    with pytest.raises(MissingKeyError, match="done"):
        RewardSum()(TensorDict({"reward": torch.ones(3, 1)}, [3]))
    with pytest.raises(MissingKeyError, match="`reward`"):
        RewardSum()(TensorDict({"done": torch.ones(3, 1)}, [3]))


def test_reset_without_any_shape():
    with pytest.raises(MissingKeyError, match="add the transform to an env"):
        RewardSum()._reset(None, TensorDict({"a": torch.ones(1)}))
