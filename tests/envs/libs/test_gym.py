import cProfile
import pstats
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
import torch

from rl.core import Bounded, Composite, NotRegisteredError, OneHot, RLError, SpecError, Unbounded
from rl.core.seeding import seed_generator
from rl.envs.checks import check_env_specs
from rl.envs.libs import GymEnv, GymWrapper
from rl.envs.vector import SerialEnv

S = gymnasium.spaces
REAL = [
    "CartPole-v1",
    "Pendulum-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "HalfCheetah-v5",
]


class Echo(gymnasium.Env):
    """Observes samples of a space; remembers the actions it got."""

    metadata: ClassVar = {"render_modes": ["rgb_array"]}

    def __init__(self, observation, action=None, length=4, render_mode=None):
        self.observation_space = observation
        self.action_space = S.Discrete(2) if action is None else action
        self.length, self.render_mode = length, render_mode
        self.actions = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        self.options = options
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.actions.append(action)
        self.t += 1
        return self.observation_space.sample(), 0.5, self.t >= self.length, False, {}

    def render(self):
        return np.full((8, 6, 3), self.t, np.uint8)


@pytest.mark.parametrize("name", REAL)
def test_real_envs_match_their_specs(name):
    env = GymEnv(name)
    check_env_specs(env)
    env.close()
    assert env.is_closed


@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize(
    "space",
    [
        S.Discrete(3, start=1),
        S.MultiDiscrete([2, 3]),
        S.MultiDiscrete([3, 3]),
        S.MultiBinary(4),
        S.Box(-1, 1, (2,), dtype=np.float64),
        S.Box(0, 255, (4, 4, 3), dtype=np.uint8),
        S.Dict(a=S.Box(-1, 1, (2,)), b=S.Dict(c=S.Discrete(2), d=S.MultiBinary(2))),
        S.Tuple((S.Discrete(3), S.Discrete(3))),
    ],
    ids=str,
)
def test_every_space_as_observation_and_action(space, categorical):
    env = GymWrapper(Echo(space, space), categorical)
    check_env_specs(env)


def test_text_observation():
    env = GymWrapper(Echo(S.Dict(x=S.Box(-1, 1, (2,)), text=S.Text(5))))
    td = env.rand_step(env.reset())
    assert isinstance(td["text"], str)
    assert isinstance(td["next", "text"], str)


def test_ragged_observation():
    env = GymWrapper(Echo(S.Sequence(S.Box(-1, 1, (2,)), stack=True)))
    assert env.observation_spec["observation"].shape == torch.Size([-1, 2])
    assert env.reset()["observation"].shape[1:] == torch.Size([2])


def test_numbers_of_a_step():
    ours, theirs = GymEnv("CartPole-v1"), gymnasium.make("CartPole-v1")
    ours.set_seed(7)
    td = ours.reset()
    observation, _ = theirs.reset(seed=7)
    for t in range(60):
        assert td["observation"].tolist() == observation.tolist()
        assert td["observation"].dtype == torch.float32
        td["action"] = torch.tensor([0, 1] if t % 3 else [1, 0])
        td = ours.step(td)
        observation, reward, terminated, truncated, _ = theirs.step(1 if t % 3 else 0)
        following = td["next"]
        assert following["reward"].tolist() == [reward]
        assert following["reward"].dtype == torch.float32
        assert following["terminated"].tolist() == [terminated]
        assert following["truncated"].tolist() == [truncated]
        assert following["done"].tolist() == [terminated or truncated]
        if terminated:
            break
        td = ours.step_mdp(td)
    assert terminated


def test_num_workers_points_to_parallel_env():
    with pytest.raises(RLError, match=r"ParallelEnv\(2, lambda: GymEnv\('CartPole-v1'"):
        GymEnv("CartPole-v1", num_workers=2)


def test_time_limit_truncates():
    rollout = GymEnv("Pendulum-v1").rollout(1000)
    assert rollout.shape == torch.Size([200])
    assert rollout["next", "truncated"][-1]
    assert rollout["next", "done"][-1]
    assert not rollout["next", "terminated"].any()


def test_steps_share_no_memory():
    env = GymEnv("CartPole-v1")
    td = env.rand_step(env.reset())
    first = td["next"].clone()
    env.rand_step(env.step_mdp(td.clone()))
    assert (td["next"] == first).all()
    flags = [td["next", key].data_ptr() for key in ("done", "terminated", "truncated")]
    assert len(set(flags)) == 3


def test_seeds():
    env = GymEnv("CartPole-v1")
    assert env.set_seed(0) == seed_generator(0) == 795726461
    first = env.reset()["observation"]
    second = env.reset()["observation"]
    env.set_seed(0)
    assert (env.reset()["observation"] == first).all()
    assert (env.reset()["observation"] == second).all()
    assert (first != second).any()
    assert env.set_seed(5, static_seed=True) == 5


def test_reset_options_reach_the_env():
    env = GymWrapper(Echo(S.Discrete(2)))
    env.reset(options={"x": 1})
    assert env.options == {"x": 1}


def test_unknown_id():
    with pytest.raises(
        NotRegisteredError, match=r"`CartPol-v1` is not registered\. Did you mean `CartPole-v1`"
    ):
        GymEnv("CartPol-v1")
    with pytest.raises(NotRegisteredError, match="Did you mean `CartPole-v1`"):
        GymEnv("CartPole-v7", num_envs=2)


def test_checking_wrappers_are_dropped_unless_asked_for():
    names = []
    for env in (GymEnv("CartPole-v1"), GymEnv("CartPole-v1", disable_env_checker=False)):
        inner, found = env._env.env, set()
        while inner is not inner.unwrapped:
            found.add(type(inner).__name__)
            inner = inner.env
        names.append(found)
    assert names == [{"TimeLimit"}, {"TimeLimit", "OrderEnforcing", "PassiveEnvChecker"}]


def test_make_arguments_and_attributes():
    env = GymEnv("CartPole-v1", max_episode_steps=3)
    assert env.spec.max_episode_steps == 3
    assert len(env.rollout(10)) == 3
    with pytest.raises(AttributeError):
        _ = env.no_such_attribute


def test_float32():
    env = GymEnv("HalfCheetah-v5", float32=True)
    assert env.observation_spec["observation"].dtype == torch.float32
    assert env.rollout(2)["next", "observation"].dtype == torch.float32
    assert GymEnv("HalfCheetah-v5").rollout(2)["observation"].dtype == torch.float64


def test_categorical_action():
    env = GymWrapper(
        Echo(S.Box(-1, 1, (1,)), S.Discrete(3, start=5)), categorical_action_encoding=True
    )
    td = env.reset().set("action", torch.tensor(2))
    env.step(td)
    assert env.actions == [7]
    assert env.action_spec.shape == torch.Size([])


def test_dict_action():
    space = S.Dict(move=S.Discrete(3), arm=S.Dict(force=S.Box(-1, 1, (2,))))
    env = GymWrapper(Echo(S.Discrete(2), space))
    assert set(env.action_keys) == {"move", ("arm", "force")}
    action = {"move": torch.tensor([0, 0, 1]), "arm": {"force": torch.tensor([0.5, -0.5])}}
    env.step(env.reset().update(action))
    assert env.actions[0]["move"] == 2
    assert env.actions[0]["arm"]["force"].tolist() == [0.5, -0.5]


def test_dict_action_of_one_entry():
    env = GymWrapper(Echo(S.Discrete(2), S.Dict(move=S.Discrete(3))))
    env.step(env.reset().set("move", torch.tensor([0, 1, 0])))
    assert env.actions == [{"move": 1}]


def test_dict_action_that_clashes_with_the_observation():
    space = S.Dict(x=S.Discrete(2), y=S.Discrete(3))
    env = GymWrapper(Echo(space, space))
    assert set(env.action_keys) == {("action", "x"), ("action", "y")}
    td = env.rand_step(env.reset())
    assert env.actions[0]["y"] == td["action", "y"].argmax()


def test_gradient_of_the_action_stays_outside():
    env = GymEnv("Pendulum-v1")
    td = env.reset().set("action", torch.zeros(1, requires_grad=True))
    assert not env.step(td)["next", "reward"].requires_grad


def test_frame_skip_sums_and_stops():
    env = GymWrapper(Echo(S.Discrete(2), length=5), frame_skip=3)
    rollout = env.rollout(10)
    # steps 1-3 give 3 * 0.5; steps 4 and 5 give 2 * 0.5 and the end
    assert rollout["next", "reward"].flatten().tolist() == [1.5, 1.0]
    assert rollout["next", "done"].flatten().tolist() == [False, True]
    with pytest.raises(RLError, match="expected 1 or more"):
        GymWrapper(Echo(S.Discrete(2)), frame_skip=0)


@pytest.mark.parametrize("pixels_only", [True, False])
def test_pixels(pixels_only):
    env = GymWrapper(
        Echo(S.Box(-1, 1, (2,)), render_mode="rgb_array"), from_pixels=True, pixels_only=pixels_only
    )
    assert set(env.observation_spec.keys()) == (
        {"pixels"} if pixels_only else {"pixels", "observation"}
    )
    assert env.observation_spec["pixels"].dtype == torch.uint8
    rollout = env.rollout(3)
    assert rollout["next", "pixels"][:, 0, 0, 0].tolist() == [1, 2, 3]
    assert rollout["pixels"][:, 0, 0, 0].tolist() == [0, 1, 2]


def test_pixels_need_a_render_mode():
    with pytest.raises(SpecError, match='render_mode="rgb_array"'):
        GymWrapper(Echo(S.Discrete(2)), from_pixels=True)


def test_device():
    env = GymEnv("CartPole-v1", device="cpu")
    assert env.rollout(2).device == torch.device("cpu")
    assert GymEnv("CartPole-v1").rollout(2).device is None


class Halved(GymWrapper):
    """A subclass whose hook halves the reward."""

    def read_reward(self, reward):
        return super().read_reward(reward) / 2


def test_hooks_of_a_subclass_are_heard_on_every_road():
    assert Halved(Echo(S.Discrete(2))).rollout(2)["next", "reward"].flatten().tolist() == [
        0.25,
        0.25,
    ]
    serial = SerialEnv(2, lambda: Halved(Echo(S.Discrete(2))))
    assert serial.rollout(2)["next", "reward"].unique().tolist() == [0.25]


def test_calls_per_step():
    env = GymEnv("CartPole-v1")
    td = env.rand_action(env.reset())
    env.step_next(td)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(5):
        env.step_next(td)
    profile.disable()
    assert pstats.Stats(profile).total_calls / 5 <= 65


@pytest.mark.parametrize("native", [True, False])
def test_slots_are_the_step(native, monkeypatch):
    if not native:
        monkeypatch.setattr(GymWrapper, "_takes_rows", lambda self: False)
    space = S.Dict(a=S.Box(-1, 1, (2,)), b=S.Discrete(3), n=S.Dict(c=S.MultiBinary(2)))
    action = S.Dict(x=S.Discrete(3, start=1), y=S.Box(-1, 1, (2,)))
    for skip in (1, 2):
        single = GymWrapper(Echo(space, action), frame_skip=skip)
        serial = SerialEnv(1, lambda skip=skip: GymWrapper(Echo(space, action), frame_skip=skip))
        results = []
        for env in (single, serial):
            env.set_seed(0)
            results.append(env.rollout(4, break_when_any_done=False))
        assert (results[0] == results[1][0]).all()
        assert results[0].dtype == results[1].dtype


def test_resume():
    env, other = (GymEnv("CartPole-v1") for _ in range(2))
    env.set_seed(5)
    td = env.rand_step(env.step_mdp(env.rand_step(env.reset())))
    other.load_resume_state(env.resume_state())
    root = env.rand_action(env.step_mdp(td))
    assert (other.step(root.clone())["next"] == env.step(root)["next"]).all()
    assert (other.reset()["observation"] == env.reset()["observation"]).all()


def test_resume_of_vector_envs():
    envs = [SerialEnv(2, lambda: GymEnv("Pendulum-v1")) for _ in range(2)]
    envs[0].set_seed(5)
    td = envs[0].rand_step(envs[0].reset())
    envs[1].load_resume_state(envs[0].resume_state())
    root = envs[0].rand_action(envs[0].step_mdp(td))
    assert (envs[1].step(root.clone())["next"] == envs[0].step(root)["next"]).all()
    with pytest.raises(RLError, match="does not say how to resume"):
        GymEnv("CartPole-v1", num_envs=2).resume_state()


def test_specs_are_what_torchrl_users_expect():
    env = GymEnv("CartPole-v1")
    assert isinstance(env.action_spec, OneHot)
    assert isinstance(env.observation_spec, Composite)
    assert isinstance(env.observation_spec["observation"], Bounded)
    assert isinstance(env.reward_spec, Unbounded)
    assert env.reward_spec.shape == torch.Size([1])
    assert set(env.full_done_spec.keys()) == {"done", "terminated", "truncated"}
