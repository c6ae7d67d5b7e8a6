"""Random actions drawn in blocks are as good as those drawn one by one."""

from __future__ import annotations

import torch

from rl.core import Categorical
from rl.envs.random_actions import BLOCK, RandomActions
from rl.envs.testing import CountingEnv, NestedCountingEnv, WideCountingEnv


def test_every_action_is_legal_and_no_memory_is_shared():
    env = CountingEnv(batch_size=(3,))
    policy = RandomActions(env, 2 * BLOCK)
    actions = [policy(env.reset())["action"] for _ in range(2 * BLOCK)]
    assert all(env.action_spec.is_in(action) for action in actions)
    assert len({action.data_ptr() for action in actions}) == len(actions)
    share = torch.stack(actions).float().mean((0, 1))
    assert 0.4 < share[0] < 0.6


def test_no_more_are_drawn_than_steps_are_taken():
    env = CountingEnv()
    torch.manual_seed(0)
    policy = RandomActions(env, 5)
    for _ in range(5):
        policy(env.reset())
    after = torch.rand(1)
    torch.manual_seed(0)
    env.action_spec.rand((5,))
    assert torch.rand(1) == after


def test_nested_actions():
    env = NestedCountingEnv(num_agents=2)
    assert RandomActions(env, 3)(env.reset())["agents", "action"].shape == torch.Size([2, 2])


def test_a_mask_that_changes_is_obeyed():
    env = CountingEnv(categorical=True)
    env.action_spec = Categorical(2, mask=torch.tensor([True, False]))
    policy = RandomActions(env, 10)
    assert [policy(env.reset())["action"].item() for _ in range(5)] == [0] * 5
    env.full_action_spec["action"].update_mask(torch.tensor([False, True]))
    assert [policy(env.reset())["action"].item() for _ in range(5)] == [1] * 5


def test_rollouts_of_equal_seeds_are_equal():
    env = WideCountingEnv(2)
    env.set_seed(1)
    first = env.rollout(5)["action"]
    env.set_seed(1)
    assert torch.equal(env.rollout(5)["action"], first)
