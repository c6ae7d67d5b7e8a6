"""Recipes train an agent to a threshold: a short run by default, the full ones at night."""

from __future__ import annotations

import statistics

import pytest

from rl.objectives.recipes import dqn, ppo, sac


def test_ppo_learns_cartpole_in_a_short_run():
    result = ppo.train(ppo.Config(total_frames=40_960))
    assert result.eval_return_mean >= 300


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ppo_solves_cartpole(seed):
    assert ppo.train(ppo.Config(seed=seed)).eval_return_mean >= 475


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_dqn_solves_cartpole_on_two_of_three_seeds():
    returns = [dqn.train(dqn.Config(seed=seed)).eval_return_mean for seed in range(3)]
    assert statistics.median(returns) >= 475


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_sac_swings_the_pendulum_up():
    assert sac.train(sac.Config()).eval_return_mean >= -180
