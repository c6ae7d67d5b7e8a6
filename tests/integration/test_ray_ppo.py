"""The PPO recipe on Ray workers learns, and resumes exactly."""

from __future__ import annotations

import ray
from tests.integration.test_resume import differences, finish, rl, wait_for_lines

from rl.core import load_state
from rl.objectives.recipes import ppo


def test_ppo_on_two_ray_workers_learns(tmp_path):
    config = ppo.Config(
        collector="ray", num_collectors=2, total_frames=40_960, out=str(tmp_path / "run")
    )
    ran_before = ray.is_initialized()
    result = ppo.train(config)
    assert result.frames == 40_960
    assert result.eval_return_mean >= 200
    assert ray.is_initialized() == ran_before, "the recipe ends the Ray that it started, no other"


def test_a_killed_run_goes_on_bit_exactly(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    flags = ["--collector", "ray", "--num-collectors", "2", "--num-epochs", "1", "--seed", "3"]
    flags += ["--total-frames", "8192", "--frames-per-batch", "512", "--eval-episodes", "1"]
    flags += ["--checkpoint-interval-s", "0.2"]
    assert finish(rl("train", "ppo", *flags, "--out", str(whole))) == 0
    killed = rl("train", "ppo", *flags, "--out", str(cut))
    wait_for_lines(cut / "metrics.jsonl", 6, killed)
    killed.kill()
    assert killed.wait(timeout=60) != 0, "the run was not stopped"
    killed.stdout.close()  # not read to its end, which Ray's agents hold open for a minute
    assert not (cut / "result.json").exists()
    assert finish(rl("resume", str(cut))) == 0
    expected, resumed = (load_state(run / "checkpoint")["components"] for run in (whole, cut))
    assert expected["collector"]["workers"].keys() == {"0", "1"}
    assert expected["collector"]["version"] == 16
    assert differences(expected, resumed) == []
