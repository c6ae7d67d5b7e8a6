import pytest
import torch
from tensordict import TensorDict

from rl.core import Compose, SpecError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import CatTensors, StepCounter


def test_counts_and_truncates(counting):
    data = TransformedEnv(counting(), StepCounter(max_steps=3)).rollout(10)
    assert data["step_count"].flatten().tolist() == [0, 1, 2]
    assert data["next", "step_count"].flatten().tolist() == [1, 2, 3]
    assert data["next", "truncated"].flatten().tolist() == [False, False, True]
    assert data["next", "done"].flatten().tolist() == [False, False, True]
    assert not data["next", "terminated"].any()


def test_without_limit_adds_no_flag(counting):
    env = TransformedEnv(counting(length=4), StepCounter())
    data = env.rollout(10)
    assert data["next", "step_count"].flatten().tolist() == [1, 2, 3, 4]
    assert not data["next", "truncated"].any()
    assert env.observation_spec["step_count"].dtype == torch.int64
    assert "step_count" in env.full_state_spec


def test_keeps_done_apart(counting):
    env = TransformedEnv(counting(), StepCounter(max_steps=2, update_done=False))
    data = env.rollout(4)
    assert data["next", "truncated"].flatten().tolist() == [False, True, True, True]
    assert not data["next", "done"].any()


def test_keeps_the_truncation_of_the_env():
    counter = StepCounter(max_steps=5)
    root = TensorDict({"step_count": torch.tensor([1])})
    flags = {name: torch.tensor([True]) for name in ("done", "truncated")}
    assert counter._step(root, TensorDict(flags))["truncated"].item()


def test_does_not_write_into_the_flags_of_the_env():
    counter = StepCounter(max_steps=1)
    flag = torch.tensor([False])  # an env may give one tensor under several names
    after = TensorDict({"done": flag, "terminated": flag, "truncated": flag})
    after = counter._step(TensorDict({"step_count": torch.tensor([0])}), after)
    assert after["done"].item()
    assert not after["terminated"].item()


def test_partial_reset_restarts_the_rows_of_the_mask(counting):
    env = TransformedEnv(counting((3,)), StepCounter())
    root = env.reset()
    for _ in range(2):
        root = env.step_mdp(env.rand_step(root))
    root = env.reset(root.set("_reset", torch.tensor([[True], [False], [False]])))
    assert root["step_count"].flatten().tolist() == [0, 2, 2]
    assert env.rand_step(root)["next", "step_count"].flatten().tolist() == [1, 3, 3]


def test_partial_step_leaves_other_rows(counting):
    env = TransformedEnv(counting((2,)), StepCounter())
    root = env.rand_action(env.reset()).set("_step", torch.tensor([True, False]))
    assert env.step(root)["next", "step_count"].flatten().tolist() == [1, 0]


def test_one_counter_per_group(team):
    env = TransformedEnv(team((3,)), StepCounter(max_steps=2))
    data = env.rollout(5)
    assert data["next", "agents", "step_count"].shape == (3, 2, 2, 1)
    assert data.get("step_count", None) is None
    assert data["next", "agents", "truncated"][:, -1].all()
    assert env.full_state_spec["agents", "step_count"].shape == (3, 2, 1)


def test_root_flags_stand_for_nested_ones(team):
    data = TransformedEnv(team((), root_done=True), StepCounter()).rollout(2)
    assert data["next", "step_count"].flatten().tolist() == [1, 2]
    assert data.get(("agents", "step_count"), None) is None


def test_own_name_of_the_flag_is_an_observation(counting):
    env = TransformedEnv(counting(), StepCounter(max_steps=2, truncated_key="cut"))
    data = env.rollout(5)
    assert data["next", "cut"].flatten().tolist() == [False, True]
    assert data["next", "done"].flatten().tolist() == [False, True]
    assert "cut" in env.observation_spec


def test_follows_a_chain(counting):
    chain = Compose(CatTensors(["observation"], "vector"), StepCounter(), StepCounter(2))
    assert TransformedEnv(counting(), chain).rollout(5).shape == (2,)


@pytest.mark.parametrize("max_steps", [0, -1, "3", 2.0])
def test_bad_limit(max_steps):
    with pytest.raises(SpecError, match="give an integer of at least 1, or None"):
        StepCounter(max_steps=max_steps)


@pytest.mark.parametrize("name", ["truncated_key", "step_count_key"])
def test_bad_key(name):
    with pytest.raises(SpecError, match="give a string, the leaf name"):
        StepCounter(2, **{name: ("a", "b")})


def test_not_for_buffers():
    with pytest.raises(NotImplementedError, match="add it to an env with `TransformedEnv`"):
        StepCounter()(TensorDict({"done": torch.zeros(3, 1, dtype=torch.bool)}, [3]))


def test_no_flag_to_count_beside():
    with pytest.raises(KeyError, match="add it to an env with `TransformedEnv`"):
        StepCounter()._reset(None, TensorDict({"a": torch.zeros(1)}))
