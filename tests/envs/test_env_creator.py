"""Functions that make envs."""

from __future__ import annotations

import pytest
import torch

from rl.envs import EnvCreator, env_creator
from rl.envs.env_creator import make_env
from rl.envs.testing import CountingEnv


def test_stored_arguments_are_used_and_overridden():
    creator = EnvCreator(CountingEnv, {"max_steps": 3}, batch_size=(2,))
    assert creator().max_steps == 3
    assert creator(max_steps=4).max_steps == 4
    assert creator().batch_size == torch.Size([2])


def test_as_a_decorator():
    @env_creator
    def make(max_steps=7):
        return CountingEnv(max_steps)

    assert make().max_steps == 7


def test_an_env_is_taken_as_it_is():
    env = CountingEnv()
    assert make_env(env) is env
    assert make_env(CountingEnv, {"max_steps": 2}).max_steps == 2
    with pytest.raises(TypeError, match="lambda"):
        make_env("CartPole-v1")
