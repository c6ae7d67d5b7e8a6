"""`TransformedEnv`: specs, chains, parents, masks and delegation."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from rl.core import (
    Compose,
    MissingKeyError,
    RLError,
    Transform,
    set_auto_unwrap_transformed_env,
)
from rl.envs import ObservationNorm, RenameTransform, RewardSum, StepCounter, TransformedEnv
from rl.envs.checks import check_env_specs
from rl.envs.testing import CountingEnv


class AddOne(Transform):
    """Adds one to its keys."""

    def _apply_transform(self, tensor):
        return tensor + 1


def test_specs_and_data_follow_the_chain():
    env = TransformedEnv(CountingEnv(), Compose(StepCounter(), RewardSum()))
    assert {"observation", "step_count", "episode_reward"} <= set(env.observation_keys)
    batch = env.rollout(3)
    assert batch["next", "step_count"].flatten().tolist() == [1, 2, 3]
    assert batch["next", "episode_reward"].flatten().tolist() == [1, 2, 3]
    check_env_specs(env)


def test_the_base_env_is_not_changed():
    base = CountingEnv()
    TransformedEnv(base, RenameTransform(["observation"], ["count"]))
    assert base.observation_keys == ["observation"]


def test_nested_envs_become_one_chain():
    inner = TransformedEnv(CountingEnv(), StepCounter(5))
    outer = TransformedEnv(inner, RewardSum())
    assert [type(t).__name__ for t in outer.transform] == ["StepCounter", "RewardSum"]
    assert outer.base_env is inner.base_env
    kept = TransformedEnv(inner, RewardSum(), auto_unwrap=False)
    assert kept.base_env is inner


def test_the_global_flag_decides_where_the_argument_does_not():
    inner = TransformedEnv(CountingEnv(), StepCounter(5))
    with set_auto_unwrap_transformed_env(False):
        assert TransformedEnv(inner, RewardSum()).base_env is inner
        assert TransformedEnv(inner, auto_unwrap=True).base_env is inner.base_env
    assert TransformedEnv(inner, RewardSum()).base_env is inner.base_env


def test_insert_append_and_parent():
    env = TransformedEnv(CountingEnv(), AddOne(in_keys=["observation"]))
    env.append_transform(StepCounter())
    env.insert_transform(0, RewardSum())
    assert [type(t).__name__ for t in env.transform] == ["RewardSum", "AddOne", "StepCounter"]
    parent = env.transform[1].parent
    assert isinstance(parent.transform[0], RewardSum)
    assert "step_count" not in parent.observation_keys
    assert env.transform[0].parent is env.base_env
    assert env.reset()["observation"].item() == 1


def test_a_transform_has_one_holder():
    shared = StepCounter()
    TransformedEnv(CountingEnv(), shared)
    with pytest.raises(RLError, match=r"transform\.clone\(\)"):
        TransformedEnv(CountingEnv(), shared)
    TransformedEnv(CountingEnv(), shared.clone())


def test_a_key_that_is_not_there_raises_at_construction():
    with pytest.raises(MissingKeyError, match="Did you mean `observation`"):
        TransformedEnv(CountingEnv(), AddOne(in_keys=["observations"]))


def test_specs_cannot_be_set():
    env = TransformedEnv(CountingEnv(), StepCounter())
    with pytest.raises(RLError, match="base_env"):
        env.action_spec = env.action_spec.clone()


def test_masked_rows_stand_still():
    env = TransformedEnv(CountingEnv(batch_size=(2,)), Compose(RewardSum(), StepCounter()))
    root = env.rand_action(env.reset())
    root["_step"] = torch.tensor([True, False])
    following = env.step(root)["next"]
    assert following["step_count"].flatten().tolist() == [1, 0]
    assert following["episode_reward"].flatten().tolist() == [1, 0]


def test_partial_resets_pass_through_the_chain():
    env = TransformedEnv(
        CountingEnv(batch_size=(2,)),
        Compose(ObservationNorm(loc=1.0, scale=1.0, in_keys=["observation"]), StepCounter()),
    )
    root = env.step_mdp(env.rand_step(env.reset()))
    root["_reset"] = torch.tensor([[True], [False]])
    after = env.reset(root)
    assert after["observation"].flatten().tolist() == [1, 2]
    assert after["step_count"].flatten().tolist() == [0, 1]


def test_inverse_keys_reach_the_base_env():
    rename = RenameTransform([], [], in_keys_inv=["action"], out_keys_inv=["control"])
    env = TransformedEnv(CountingEnv(), rename)
    assert env.action_keys == ["control"]
    root = env.rand_step(env.reset())
    assert root["next", "observation"].item() == 1


def test_functions_are_transforms():
    env = TransformedEnv(CountingEnv(), lambda td: td.set("extra", torch.ones(1)))
    assert env.reset()["extra"].item() == 1


def test_attributes_of_the_base_env():
    env = TransformedEnv(CountingEnv(max_steps=9), StepCounter())
    assert env.max_steps == 9
    with pytest.raises(AttributeError):
        _ = env.no_such_thing


def test_resume_state_holds_env_and_transforms():
    def make():
        return TransformedEnv(CountingEnv(5), StepCounter())

    old = make()
    root = old.step_mdp(old.rand_step(old.reset()))
    new = make()
    new.load_resume_state(old.resume_state())
    action = TensorDict({"action": torch.tensor([1, 0])})
    following = [env.step(root.copy().update(action))["next"] for env in (old, new)]
    assert following[0]["observation"].item() == following[1]["observation"].item() == 2
