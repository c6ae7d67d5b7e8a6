"""The PPO recipe on Ray workers learns, and resumes exactly."""

from __future__ import annotations

import pytest
import ray
import torch

from rl.core import Run, RunStopped, load_state
from rl.distributed.ray.pool import LOCAL_RAY
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


@pytest.fixture
def _local_ray():
    """One Ray for several collectors, unless the session has one."""
    if ray.is_initialized():
        yield
        return
    ray.init(num_cpus=2, **LOCAL_RAY)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("_local_ray")
def test_a_stopped_run_ends_as_one_that_was_not(tmp_path):
    def config(out: str) -> ppo.Config:
        return ppo.Config(
            collector="ray",
            num_collectors=1,
            total_frames=1024,
            frames_per_batch=256,
            num_epochs=1,
            eval_episodes=1,
            out=str(tmp_path / out),
        )

    ppo.train(config("whole"))
    run = Run.start("ppo", config("cut"))
    log = run.log

    def stop_at_the_second(frames: int, **metrics: object) -> None:
        log(frames, **metrics)
        if frames == 512:
            run.request_stop()

    run.log = stop_at_the_second
    with pytest.raises(RunStopped):
        ppo.train(config("cut"), run)
    run.close()
    ppo.train(config("cut"), Run("ppo", config("cut"), tmp_path / "cut"))
    whole, cut = (
        load_state(tmp_path / name / "checkpoint")["components"] for name in ("whole", "cut")
    )
    for part in (lambda state: state["loss"], lambda state: state["collector"]["weights"]):
        assert part(whole).keys() == part(cut).keys()
        assert all(torch.equal(value, part(cut)[name]) for name, value in part(whole).items())
    assert cut["collector"]["version"] == whole["collector"]["version"] == 4
    one, other = (state["collector"]["workers"]["0"]["rng"]["torch"] for state in (whole, cut))
    assert torch.equal(one, other)
