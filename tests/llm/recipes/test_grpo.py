import dataclasses

import pytest
import torch

from rl.core.checkpoint import load_state
from rl.core.runs import Run, RunStopped, load_recipe
from rl.llm.recipes import grpo

# a few iterations of a very small model
SMALL = grpo.Config(
    total_frames=96, prompts_per_batch=4, group_size=4, hidden_size=16, num_layers=1
)


def saved(folder):
    return load_state(folder / "checkpoint")["components"]


def test_the_recipe_is_registered():
    assert load_recipe("grpo") is grpo


@pytest.mark.parametrize(
    ("task", "query", "answer", "reward"),
    [
        ("echo", "say 7", "7777", 1.0),
        ("echo", "say 7", "7788", 0.2 + 0.4),
        ("echo", "say 7", "8888", 0.2),
        ("echo", "say 7", "", 0.0),
        ("digits", "say 7", "12ab", 0.5),
    ],
)
def test_rewards_by_hand(task, query, answer, reward):
    config = grpo.Config(task=task)
    assert grpo.verified_reward(query, answer, config) == pytest.approx(reward)


def test_a_run_writes_its_folder(tmp_path):
    config = dataclasses.replace(SMALL, out=str(tmp_path / "run"))
    result = grpo.train(config)
    assert result.frames == 96
    assert 0 <= result.eval_return_mean <= 1
    records = Run("grpo", config, tmp_path / "run").metrics
    assert [record["frames"] for record in records] == [16, 32, 48, 64, 80, 96]
    assert {"episode_return", "loss_objective", "ESS", "zero_advantage_fraction"} <= set(records[0])
    again = grpo.evaluate(config, Run("grpo", config, tmp_path / "run"), episodes=10)
    assert again.mean == pytest.approx(result.eval_return_mean)


def test_stop_and_resume_gives_the_same_bits(tmp_path):
    whole = dataclasses.replace(SMALL, out=str(tmp_path / "whole"))
    grpo.train(whole)
    parts = dataclasses.replace(SMALL, out=str(tmp_path / "parts"))
    run = Run.start("grpo", parts)

    class StopHalfway:
        def start(self, frames):
            pass

        def update(self, frames, metrics):
            if frames == 48:
                run.request_stop()

        def close(self):
            pass

    run.reporter = StopHalfway()
    with pytest.raises(RunStopped) as stopped:
        grpo.train(parts, run)
    run.close()
    assert stopped.value.frames == 48
    torch.rand(10)  # what happens in between does not matter
    grpo.train(parts, Run("grpo", parts, tmp_path / "parts"))
    ours, theirs = saved(tmp_path / "parts"), saved(tmp_path / "whole")
    for name, value in theirs["model"].items():
        assert torch.equal(ours["model"][name], value), name
    for index, state in theirs["optimizer"]["state"].items():
        assert torch.equal(ours["optimizer"]["state"][index]["exp_avg"], state["exp_avg"])


def test_a_seed_gives_one_run():
    first, again = (grpo.train(SMALL).eval_return_mean for _ in range(2))
    assert first == again


def test_the_reward_of_writing_digits_rises():
    config = grpo.Config(task="digits", total_frames=30 * 8 * 16, hidden_size=32)
    run = Run.start("grpo", config)
    grpo.train(config, run)
    rewards = [record["episode_return"] for record in run.metrics]
    assert sum(rewards[:2]) / 2 < 0.25
    assert sum(rewards[-3:]) / 3 > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_model_learns_to_answer(seed):
    result = grpo.train(grpo.Config(seed=seed))
    assert result.eval_return_mean >= 0.8
