"""What `SerialEnv` and `ParallelEnv` share: every test runs over both."""

import functools

import pytest
import torch
from tensordict import TensorDict, assert_close

from rl.core import Compose, MissingKeyError, RLError
from rl.core.seeding import seed_generator
from rl.envs.base import EnvBase
from rl.envs.checks import check_env_specs
from rl.envs.env_creator import EnvCreator
from rl.envs.libs import GymEnv
from rl.envs.native.pendulum import PendulumEnv
from rl.envs.testing import CountingEnv, NestedCountingEnv, StringEnv
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import DoubleToFloat, ObservationNorm, RewardSum, StepCounter
from rl.envs.vector import ParallelEnv, SerialEnv

CARTPOLE = functools.partial(GymEnv, "CartPole-v1")


@pytest.fixture(params=["serial", "parallel", "parallel-one-process"])
def make(request):
    """A function that builds the vector env, closed after the test."""
    built = []

    def build(*args, **kwargs):
        if request.param == "serial":
            env = SerialEnv(*args, **kwargs)
        else:
            if request.param == "parallel-one-process":
                kwargs["num_processes"] = 1
            env = ParallelEnv(*args, timeout_s=60.0, **kwargs)
        built.append(env)
        return env

    yield build
    for env in built:
        env.close()
        assert env.is_closed


@pytest.mark.parametrize(
    "maker",
    [
        CARTPOLE,
        functools.partial(GymEnv, "HalfCheetah-v5"),
        functools.partial(CountingEnv, batch_size=(2,)),
        NestedCountingEnv,
        StringEnv,
        lambda: TransformedEnv(CARTPOLE(), StepCounter()),
    ],
    ids=["cartpole", "cheetah", "batched", "nested", "string", "transformed"],
)
def test_specs_hold(make, maker):
    env = make(2, maker)
    assert env.batch_size == (2, *maker().batch_size)
    check_env_specs(env)


def test_shapes_of_a_rollout(make):
    rollout = make(3, CARTPOLE).rollout(7, break_when_any_done=False)
    assert rollout.batch_size == torch.Size([3, 7])
    assert rollout["observation"].shape == torch.Size([3, 7, 4])
    assert rollout["next", "reward"].shape == torch.Size([3, 7, 1])


def test_rollout_is_that_of_the_envs(make):
    env = make(3, CARTPOLE)
    env.set_seed(4)
    rollout = env.rollout(60, break_when_any_done=False)
    seed = 4
    for row in range(3):
        single = CARTPOLE()
        seed = single.set_seed(seed)
        td = single.reset()
        for t in range(60):
            assert (rollout["observation"][row, t] == td["observation"]).all()
            td["action"] = rollout["action"][row, t]
            transition, td = single.step_and_maybe_reset(td)
            for key in ("observation", "reward", "done", "terminated", "truncated"):
                assert (rollout["next", key][row, t] == transition["next", key]).all()


def test_seed_chain(make):
    env = make(3, CARTPOLE)
    assert env.set_seed(0) == seed_generator(seed_generator(seed_generator(0)))
    first = env.reset()["observation"]
    assert len({tuple(row.tolist()) for row in first}) == 3
    env.set_seed(0)
    assert (env.reset()["observation"] == first).all()
    assert env.set_seed(3, static_seed=True) == 3
    same = env.reset()["observation"]
    assert (same[0] == same[1]).all()


def test_results_are_never_written_again(make):
    env = make(2, CARTPOLE)
    root = env.reset()
    kept = root.clone()
    td = env.rand_step(root)
    kept_next = td["next"].clone()
    for _ in range(3):
        env.rand_step(env.reset())
    assert_close(td.select("observation", "done"), kept.select("observation", "done"))
    assert_close(td["next"], kept_next)


def test_partial_reset(make):
    env = make(3, functools.partial(CountingEnv, max_steps=10))
    td = env.rand_step(env.reset())
    td = env.rand_step(env.step_mdp(td))
    root = env.step_mdp(td)
    for shape in ((3,), (3, 1)):
        again = root.clone()
        again["_reset"] = torch.tensor([True, False, True]).reshape(shape)
        again = env.reset(again)
        assert again["observation"].flatten().tolist() == [0, 2, 0]
        assert "_reset" not in again
    following = env.rand_step(again)["next", "observation"]
    assert following.flatten().tolist() == [1, 3, 1]


class DoneAtReset(CountingEnv):
    """Is over at its second reset."""

    resets = 0

    def _reset(self, tensordict=None, **kwargs):
        td = super()._reset(tensordict, **kwargs)
        self.resets += 1
        return td.set("done", torch.tensor([self.resets == 2])).set("terminated", td["done"])


@pytest.mark.parametrize("flat", [True, False])
def test_done_after_a_partial_reset(make, flat):
    env = make(2, functools.partial(DoneAtReset, 10))
    root = env.step_mdp(env.rand_step(env.reset()))
    if not flat:
        root["observation"] = root["observation"].double()  # takes the general road
    root["_reset"] = torch.tensor([[True], [False]])
    with pytest.raises(RLError, match="allow_done_after_reset=True"):
        env.reset(root)


def test_partial_reset_keeps_what_is_not_the_envs(make):
    env = make(2, functools.partial(CountingEnv, max_steps=10))
    root = env.step_mdp(env.rand_step(env.reset()))
    root["extra"] = torch.tensor([3.0, 4.0])
    before = root["observation"]
    root["_reset"] = torch.tensor([[True], [False]])
    result = env.reset(root)
    assert result is root
    assert result["extra"].tolist() == [3.0, 4.0]
    assert result["observation"].flatten().tolist() == [0, 1]
    assert before.flatten().tolist() == [1, 1]  # the tensor handed out earlier is as it was


def test_partial_step(make):
    env = make(3, functools.partial(CountingEnv, max_steps=10))
    root = env.rand_action(env.reset())
    root["_step"] = torch.tensor([False, True, True])
    td = env.step(root)
    assert td["next", "observation"].flatten().tolist() == [0, 1, 1]
    assert td["next", "reward"].flatten().tolist() == [0, 1, 1]
    root = env.rand_action(env.step_mdp(td))
    root["_step"] = torch.tensor([[True], [True], [False]])
    td = env.step(root)
    assert td["next", "observation"].flatten().tolist() == [1, 2, 1]
    root = env.rand_action(env.step_mdp(td))
    root["_step"] = torch.zeros(3, dtype=torch.bool)
    assert env.step(root)["next", "observation"].flatten().tolist() == [1, 2, 1]


def test_break_when_all_done(make):
    lengths = [functools.partial(CountingEnv, max_steps=n) for n in (2, 4)]
    rollout = make(2, lengths).rollout(9, break_when_any_done=False, break_when_all_done=True)
    assert rollout.shape == torch.Size([2, 4])
    assert rollout["next", "observation"][0].flatten().tolist() == [1, 2, 2, 2]


def test_masks_inside_an_envs_own_batch(make):
    env = make(2, functools.partial(CountingEnv, max_steps=10, batch_size=(2,)))
    root = env.step_mdp(env.rand_step(env.reset()))
    root["_reset"] = torch.tensor([[[True], [False]], [[False], [False]]])
    root = env.reset(root)
    assert root["observation"].squeeze(-1).tolist() == [[0, 1], [1, 1]]
    root = env.rand_action(root)
    root["_step"] = torch.tensor([[True, False], [True, True]])
    assert env.step(root)["next", "observation"].squeeze(-1).tolist() == [[1, 1], [2, 2]]


def test_nested_groups_keep_their_batch_size(make):
    single = NestedCountingEnv().rollout(2)
    batched = make(2, NestedCountingEnv).rollout(2)
    for key, value in single.items(True, False):
        if isinstance(value, TensorDict):
            extra = len(value.batch_size) - 1
            assert batched[key].batch_size == (2, *value.batch_size)
            assert extra >= 0


def test_strings(make):
    env = make(2, StringEnv)
    td = env.rand_step(env.reset())
    assert td["text"] == ["step 0", "step 0"]
    assert td["next", "text"] == ["step 1", "step 1"]
    rollout = env.rollout(3)
    assert rollout["next", "text"][1] == ["step 1", "step 2", "step 3"]
    root = env.step_mdp(td)
    root["_reset"] = torch.tensor([True, False])
    assert env.reset(root)["text"] == ["step 0", "step 1"]


class Sized(EnvBase):
    """Observes `size` numbers."""

    def __init__(self, size):
        super().__init__()
        counting = CountingEnv()
        self.size = size
        spec = counting.observation_spec
        self.observation_spec = spec.set("observation", spec["observation"].expand(size)) or spec
        self.action_spec = counting.action_spec

    def _reset(self, tensordict=None, **kwargs):
        return TensorDict({"observation": torch.zeros(self.size)})

    def _step(self, tensordict):
        done = torch.zeros(1, dtype=torch.bool)
        obs = torch.full((self.size,), float(self.size))
        return TensorDict({"observation": obs, "reward": torch.ones(1), "done": done})

    def _set_seed(self, seed):
        pass


def test_envs_of_several_shapes(make):
    env = make(2, [functools.partial(Sized, 2), functools.partial(Sized, 3)])
    root = env.reset()
    assert root[0]["observation"].shape == torch.Size([2])
    td = env.rand_step(root)
    assert td[1]["next", "observation"].tolist() == [3.0, 3.0, 3.0]


def test_stateless_env(make):
    env = make(2, functools.partial(PendulumEnv, seed=1))
    params = env[0].gen_params(g=5.0, batch_size=[2])
    root = env.reset(params.clone())
    assert root["params", "g"].tolist() == [5.0, 5.0]
    td = env.step(root.set("action", torch.zeros(2, 1)))
    alone = PendulumEnv()
    expected = alone.step(root.clone().set("action", torch.zeros(2, 1)))
    assert_close(td["next"], expected["next"])


def test_reset_arguments_reach_the_envs(make):
    env = make(2, CARTPOLE)
    low_high = env.reset(options={"low": 1.0, "high": 1.5})["observation"]
    assert ((low_high >= 1.0) & (low_high <= 1.5)).all()
    seeded = env.reset(seed=3)["observation"]
    assert (seeded[0] == seeded[1]).all()


TRANSFORMS = {
    "counter": lambda: StepCounter(max_steps=8),
    "chain": lambda: Compose(StepCounter(max_steps=8), RewardSum()),
    "norm": lambda: Compose(
        DoubleToFloat(), ObservationNorm(loc=0.5, scale=2.0, in_keys=["observation"]), RewardSum()
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_hoisting_changes_no_number(make, name):
    def maker():
        return TransformedEnv(GymEnv("Pendulum-v1"), TRANSFORMS[name]())

    rollouts = []
    for hoist in (True, False):
        env = make(2, maker, hoist_transforms=hoist)
        assert isinstance(env._inner, TransformedEnv) == hoist
        env.set_seed(0)
        rollouts.append(env.rollout(20, break_when_any_done=False))
    assert set(rollouts[0].keys(True, True)) == set(rollouts[1].keys(True, True))
    assert_close(rollouts[0], rollouts[1])


def test_different_transforms_are_not_hoisted(make):
    makers = [lambda n=n: TransformedEnv(CARTPOLE(), StepCounter(max_steps=n)) for n in (3, 5)]
    env = make(2, makers)
    assert not isinstance(env._inner, TransformedEnv)
    rollout = env.rollout(5, lambda td: env.rand_action(td), break_when_any_done=False)
    assert rollout["next", "truncated"][:, :, 0].nonzero().tolist()[0] == [0, 2]


def test_attributes_methods_and_items(make):
    env = make(2, [functools.partial(CountingEnv, max_steps=n) for n in (3, 5)])
    assert len(env) == 2
    assert env.max_steps == [3, 5]
    assert env[1].max_steps == 5
    assert env[-1].max_steps == 5
    assert env.numel() == 2
    assert env[0].cardinality() == 2
    assert not hasattr(env, "no_such_attribute")
    with pytest.raises(IndexError, match="has 2"):
        env[2]


def test_state_dict(make):
    env = make(
        2, lambda: TransformedEnv(CARTPOLE(), ObservationNorm(1.0, 2.0, in_keys=["observation"]))
    )
    state = env.state_dict()
    assert {"worker0", "worker1"} <= set(state)
    env.load_state_dict(state)
    with pytest.raises(RLError, match="has no `worker0`"):
        env.load_state_dict({})


def test_device(make):
    env = make(2, CARTPOLE, device="cpu")
    assert env.rollout(2).device == torch.device("cpu")


def test_makers(make):
    env = make(
        2, EnvCreator(GymEnv, {"env_name": "CartPole-v1"}), create_env_kwargs={"frame_skip": 2}
    )
    assert env.frame_skip == [2, 2]
    env = make(2, CARTPOLE, create_env_kwargs=[{"frame_skip": 2}, {"frame_skip": 3}])
    assert env.frame_skip == [2, 3]
    assert make(1, CountingEnv).max_steps == [5]


def test_bad_arguments(make):
    with pytest.raises(RLError, match="pass one per env"):
        make(2, [CARTPOLE])
    with pytest.raises(RLError, match="pass one per env"):
        make(2, CARTPOLE, create_env_kwargs=[{}])
    with pytest.raises(RLError, match="Pass a lambda or the class"):
        make(1, CountingEnv())
    with pytest.raises(RLError, match="expected 1 or more"):
        make(0, CARTPOLE)
    with pytest.raises(RLError, match="one batch size"):
        make(2, [CountingEnv, functools.partial(CountingEnv, batch_size=(2,))])


def test_missing_action(make):
    env = make(2, CARTPOLE)
    with pytest.raises(MissingKeyError, match="rand_action"):
        env.step_next(env.reset())


def test_vector_env_of_vector_envs(make):
    env = make(2, lambda: SerialEnv(3, CARTPOLE))
    assert env.batch_size == torch.Size([2, 3])
    assert env.rollout(40, break_when_any_done=False)["observation"].shape == torch.Size(
        [2, 3, 40, 4]
    )


def test_serial_and_parallel_agree():
    rollouts = []
    for env in (SerialEnv(3, CARTPOLE), ParallelEnv(3, CARTPOLE, num_processes=2)):
        env.set_seed(11)
        rollouts.append(env.rollout(50, break_when_any_done=False))
        env.close()
    assert (rollouts[0] == rollouts[1]).all()
