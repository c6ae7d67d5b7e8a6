"""Spec properties, seeding and inspection of `EnvBase`."""

from __future__ import annotations

import pytest
import torch

from rl.core import Binary, Composite, OneHot, RLError, SpecError, Unbounded
from rl.envs import RewardSum, TransformedEnv
from rl.envs.base import EnvBase
from rl.envs.testing import CountingEnv, NestedCountingEnv


def test_leaf_and_full_forms():
    env = CountingEnv(batch_size=(2,))
    assert isinstance(env.action_spec, OneHot)
    assert isinstance(env.full_action_spec, Composite)
    assert isinstance(env.reward_spec, Unbounded)
    assert env.reward_spec.shape == torch.Size([2, 1])
    assert isinstance(env.done_spec, Composite)
    assert set(env.input_spec.keys()) == {"full_action_spec", "full_state_spec"}
    assert set(env.output_spec.keys()) == {
        "full_observation_spec",
        "full_reward_spec",
        "full_done_spec",
    }


def test_unbatched_forms_drop_the_batch_dims():
    env = CountingEnv(batch_size=(2, 3))
    assert env.action_spec_unbatched.shape == torch.Size([2])
    assert env.observation_spec_unbatched.shape == torch.Size([])
    assert env.full_reward_spec_unbatched["reward"].shape == torch.Size([1])


def test_key_lists():
    env = NestedCountingEnv()
    assert env.action_keys == [("agents", "action")]
    assert env.reward_key == ("agents", "reward")
    assert env.reset_keys == ["_reset"]
    assert env.done_keys == ["done", "terminated"]


def test_a_lone_done_leaf_gets_its_terminated_flag():
    env = CountingEnv()
    env.done_spec = Binary(1, dtype=torch.bool)
    assert env.done_keys == ["done", "terminated"]


def test_a_reward_leaf_without_the_trailing_dim_gets_it():
    env = CountingEnv(batch_size=(4,))
    env.reward_spec = Unbounded((4,))
    assert env.reward_spec.shape == torch.Size([4, 1])


def test_specs_without_the_batch_size_raise():
    env = CountingEnv(batch_size=(4,))
    with pytest.raises(SpecError, match="batch size"):
        env.observation_spec = Composite(observation=Unbounded((3,)))
    with pytest.raises(SpecError, match="must be a Composite"):
        env.observation_spec = Unbounded((4, 3))


def test_seeds_form_a_chain():
    env = CountingEnv()
    assert env.set_seed(0) == 795726461
    assert env.set_seed(0, static_seed=True) == 0
    env.set_seed(3)
    first = env.rollout(5)["action"]
    env.set_seed(3)
    assert torch.equal(env.rollout(5)["action"], first)


@pytest.mark.parametrize("env", [CountingEnv(batch_size=(2,)), NestedCountingEnv()])
def test_the_fake_tensordict_looks_like_a_real_one(env):
    real = env.rand_step(env.reset())
    fake = env.fake_tensordict()
    assert set(fake.keys(True, True)) == set(real.keys(True, True))
    for key in fake.keys(True, True):
        assert fake[key].shape == real[key].shape
        assert fake[key].dtype == real[key].dtype


def test_debug_mode_checks_each_step():
    class Wrong(CountingEnv):
        def _step(self, tensordict):
            following = super()._step(tensordict)
            return following.set("reward", following["reward"].double())

    env = Wrong()
    env.rand_step(env.reset())
    env.run_type_checks = True
    with pytest.raises((SpecError, ValueError, AssertionError), match=r"reward|float32|dtype"):
        env.rand_step(env.reset())


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: TransformedEnv(env, RewardSum())])
def test_truncated_flags_can_be_added(wrap):
    env = wrap(NestedCountingEnv(max_steps=2))
    with pytest.raises(RLError, match="add_truncated_keys"):
        env.rollout(1, set_truncated=True)
    assert env.add_truncated_keys() is env
    assert env.done_keys == ["done", "terminated", "truncated"]
    following = env.rollout(1, set_truncated=True)["next"]
    assert following["truncated"].all()
    assert following["done"].all()
    assert not env.rollout(5)["next", "truncated"].any()


def test_to_moves_specs():
    env = CountingEnv().to("cpu")
    assert env.device == torch.device("cpu")
    assert env.action_spec.device == torch.device("cpu")


def test_a_subclass_must_say_what_it_does():
    with pytest.raises(NotImplementedError):
        EnvBase().reset()
