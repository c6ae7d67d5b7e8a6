from typing import ClassVar

import gymnasium
import numpy as np
import pytest
import torch

from rl.core import RLError
from rl.envs.checks import check_env_specs
from rl.envs.libs import GymEnv, GymWrapper

Mode = gymnasium.vector.AutoresetMode
SyncVectorEnv = gymnasium.vector.SyncVectorEnv


class Clock(gymnasium.Env):
    """Observes [episode, step]; ends after `length` steps."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length, as_dict=False):
        self.length, self.as_dict, self.episode = length, as_dict, 0
        box = gymnasium.spaces.Box(0, 100, (2,))
        self.observation_space = gymnasium.spaces.Dict(clock=box) if as_dict else box

    def _observe(self):
        value = np.array([self.episode, self.t], np.float32)
        return {"clock": value} if self.as_dict else value

    def reset(self, *, seed=None, options=None):
        self.episode, self.t = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action):
        self.t += 1
        return self._observe(), float(self.t), self.t >= self.length, False, {}


def clocks(mode, as_dict=False):
    makers = [lambda: Clock(2, as_dict), lambda: Clock(3, as_dict)]
    return SyncVectorEnv(makers, autoreset_mode=mode)


@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("mode", list(Mode))
def test_final_and_first_observations_in_every_autoreset_mode(mode, as_dict):
    env = GymWrapper(clocks(mode, as_dict))
    key = "clock" if as_dict else "observation"
    rollout = env.rollout(6, break_when_any_done=False)
    following = rollout["next", key]
    first = following[0, 0, 0].item()
    assert following[0, :, 1].tolist() == [1, 2, 1, 2, 1, 2]
    assert following[1, :, 1].tolist() == [1, 2, 3, 1, 2, 3]
    assert rollout[key][0, :, 1].tolist() == [0, 1, 0, 1, 0, 1]
    assert rollout[key][1, :, 1].tolist() == [0, 1, 2, 0, 1, 2]
    # each step stays within its episode, and episodes follow one another without a gap
    assert (rollout[key][..., 0] == following[..., 0]).all()
    assert (following[0, :, 0] - first).tolist() == [0, 0, 1, 1, 2, 2]
    assert (following[1, :, 0] - first).tolist() == [0, 0, 0, 1, 1, 1]
    assert rollout["next", "reward"][0].flatten().tolist() == [1, 2, 1, 2, 1, 2]
    assert rollout["next", "done"][1].flatten().tolist() == [False, False, True] * 2


def test_num_envs():
    env = GymEnv("CartPole-v1", num_envs=3)
    assert env.batch_size == torch.Size([3])
    assert env.action_spec.shape == torch.Size([3, 2])
    check_env_specs(env)
    rollout = env.rollout(100, break_when_any_done=False)
    assert rollout.shape == torch.Size([3, 100])
    done = rollout["next", "done"].squeeze(-1)
    assert done.any()
    # the root after an end is a start, |x| < 0.05; the final observation is beyond its limit
    starts = rollout["observation"][:, 1:][done[:, :-1]]
    assert (starts.abs() <= 0.05).all()
    final = rollout["next", "observation"][done]
    assert ((final[:, 0].abs() > 2.4) | (final[:, 2].abs() > 0.2094)).all()


@pytest.mark.parametrize("name", ["Pendulum-v1", "MountainCar-v0"])
def test_vector_envs_match_their_specs(name):
    check_env_specs(GymEnv(name, num_envs=2))


def test_seed_of_a_vector_env():
    env = GymEnv("CartPole-v1", num_envs=2)
    env.set_seed(1)
    first = env.reset()["observation"]
    env.set_seed(1)
    assert (env.reset()["observation"] == first).all()
    assert (first[0] != first[1]).any()


def test_partial_reset_by_mask():
    env = GymWrapper(clocks(Mode.DISABLED))
    td = env.rand_step(env.reset())
    root = env.step_mdp(td)
    root["_reset"] = torch.tensor([[False], [True]])
    root = env.reset(root)
    assert root["observation"][:, 1].tolist() == [1, 0]
    assert "_reset" not in root


class Native(gymnasium.vector.VectorEnv):
    """Resets by itself at the next step, and all of it at `reset`."""

    num_envs = 2
    metadata: ClassVar = {"autoreset_mode": Mode.NEXT_STEP}
    single_observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    single_action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions):
        over = np.array([True, False])
        return np.zeros((2, 1), np.float32), np.zeros(2), over, ~over & False, {}


def test_env_that_cannot_reset_in_part():
    env = GymWrapper(Native())
    td = env.step_mdp(env.rand_step(env.reset()))
    with pytest.raises(RLError, match=r"autoreset_mode=AutoresetMode\.DISABLED"):
        env.maybe_reset(td)


class Forgetful(Native):
    metadata: ClassVar = {"autoreset_mode": Mode.SAME_STEP}


def test_env_that_loses_the_final_observation():
    env = GymWrapper(Forgetful())
    with pytest.raises(RLError, match="final_obs"):
        env.rand_step(env.reset())
