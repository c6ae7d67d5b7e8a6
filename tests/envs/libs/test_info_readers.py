import gymnasium
import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.core import RLError, Unbounded
from rl.envs.libs import GymEnv, GymWrapper, default_info_dict_reader
from rl.envs.libs.info_readers import spec_of_info


def test_reads_named_keys_and_fills_missing_ones():
    reader = default_info_dict_reader(
        ["speed", "lives"], [Unbounded((2,)), Unbounded((), dtype=torch.int64)]
    )
    td = reader({"speed": [1.0, 2.0]}, TensorDict({}))
    assert td["speed"].tolist() == [1.0, 2.0]
    assert td["lives"].item() == 0
    assert td["lives"].dtype == torch.int64


def test_private_keys_are_skipped():
    assert list(default_info_dict_reader(["_x", "y"]).info_spec) == ["y"]
    assert list(default_info_dict_reader(["_x", "y"], ignore_private=False).info_spec) == [
        "_x",
        "y",
    ]


def test_bad_arguments():
    with pytest.raises(RLError, match="name the info keys"):
        default_info_dict_reader()
    with pytest.raises(RLError, match="give one spec per key"):
        default_info_dict_reader(["a", "b"], [Unbounded(())])


def test_padded_batch():
    reader = default_info_dict_reader(["x"])
    td = reader({"x": np.array([None, 2.0], dtype=object)}, TensorDict({}, [2]))
    assert td["x"].tolist() == [0.0, 2.0]


def test_spec_of_info_keeps_numbers_only():
    info = {"a": 1.0, "b": {"c": np.zeros((3,), np.float32)}, "d": "text", "_e": 1}
    specs = spec_of_info(info, torch.Size([]))
    assert set(specs) == {"a", ("b", "c")}
    assert specs["b", "c"].shape == torch.Size([3])


@pytest.mark.parametrize("how", ["named", "auto"])
def test_half_cheetah_info(how):
    env = GymEnv("HalfCheetah-v5")
    if how == "named":
        env.set_info_dict_reader(default_info_dict_reader(["x_velocity"]))
    else:
        env.auto_register_info_dict()
    assert "x_velocity" in set(env.observation_spec.keys())
    rollout = env.rollout(3)
    assert rollout["next", "x_velocity"].shape == torch.Size([3])
    assert rollout["next", "x_velocity"].abs().sum() > 0
    assert rollout["x_velocity"][0] == 0  # absent at reset


def test_auto_reads_each_step():
    class Counter(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (1,))
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            self.t = 0
            return np.zeros(1, np.float32), {"t": 0}

        def step(self, action):
            self.t += 1
            return np.zeros(1, np.float32), 0.0, False, False, {"t": self.t}

    env = GymWrapper(Counter()).auto_register_info_dict()
    assert env.rollout(3)["next", "t"].tolist() == [1, 2, 3]
