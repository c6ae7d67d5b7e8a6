"""The PPO recipe on two Ray workers learns, and resumes exactly."""

from __future__ import annotations

import pytest

from rl.objectives.recipes import ppo

# Ray leaves sockets and files of its own to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_ppo_on_two_ray_workers_learns(tmp_path):
    config = ppo.Config(
        collector="ray", num_collectors=2, total_frames=40_960, out=str(tmp_path / "run")
    )
    result = ppo.train(config)
    assert result.frames == 40_960
    assert result.eval_return_mean >= 200
