"""A journal replays an episode into a new simulator, bit for bit."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from rl.core import CheckpointError
from rl.envs.libs.journal import Journal


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "HalfCheetah-v5"])
def test_a_new_env_goes_on_as_the_old_one(name):
    old = Journal(gymnasium.make(name))
    old.action_space.seed(0)
    old.reset(seed=3)
    old.reset()  # the second episode starts from the generator, not from a seed
    for _ in range(7):
        old.step(old.action_space.sample())
    new = Journal(gymnasium.make(name))
    new.restore(old.state())
    for _ in range(5):
        action = old.action_space.sample()
        for one, other in zip(old.step(action)[:4], new.step(action)[:4], strict=True):
            assert np.array_equal(one, other)
    assert np.array_equal(old.reset()[0], new.reset()[0])


def test_actions_are_copied():
    journal = Journal(gymnasium.make("Pendulum-v1"))
    journal.reset(seed=0)
    action = np.zeros(1, np.float32)
    journal.step(action)
    action[0] = 2.0
    assert journal.state()["actions"].tolist() == [[0.0]]


def test_an_unfaithful_replay_raises():
    old = Journal(gymnasium.make("CartPole-v1"))
    old.reset(seed=0)
    old.step(1)
    state = old.state() | {"actions": np.array([0])}
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        Journal(gymnasium.make("CartPole-v1")).restore(state)


def test_an_env_that_was_never_reset_has_nothing_to_replay():
    new = Journal(gymnasium.make("CartPole-v1"))
    new.restore(Journal(gymnasium.make("CartPole-v1")).state())
    assert new.state()["start"] is None
