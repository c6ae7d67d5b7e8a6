import dataclasses
import json
import signal

import pytest
import torch

from rl.core.checkpoint import save_state
from rl.core.errors import CheckpointError
from rl.core.runs import Evaluation, Run, RunExistsError, RunStopped, open_run, read_metrics


@dataclasses.dataclass
class Config:
    seed: int = 0
    out: str | None = None
    checkpoint_interval_s: float = 1000.0


@pytest.fixture
def run(tmp_path):
    run = Run.start("toy", Config(seed=5, out=str(tmp_path / "run")))
    yield run
    run.close()


def test_start_writes_the_config(run):
    content = json.loads((run.folder / "config.json").read_text())
    assert content["recipe"] == "toy"
    assert content["config"]["seed"] == 5
    assert content["versions"]["torch"] == torch.__version__


def test_start_refuses_a_folder_with_a_run(run):
    with pytest.raises(RunExistsError, match="rl resume"):
        Run.start("toy", run.config)


def test_restore_of_a_new_run_is_zero(run):
    assert run.restore(torch.nn.Linear(1, 1)) == 0
    assert run.load() is None


def test_restore_gives_state_frames_and_time(run):
    model = torch.nn.Linear(2, 1)
    run.save(120, model)
    again = Run("toy", run.config, run.folder)
    other = torch.nn.Linear(2, 1)
    again._started -= 100.0  # building took long: it is not training
    assert again.restore(other) == 120
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(again.load()["weight"], model.weight)
    assert run.wall_s - 1.0 < again.wall_s < run.wall_s + 1.0


def test_restore_drops_metrics_past_the_checkpoint(run):
    model = torch.nn.Linear(1, 1)
    for frames in (10, 20, 30):
        run.log(frames, loss=frames / 10)
        if frames == 20:
            run.save(frames, model)
    run.close()
    again = Run("toy", run.config, run.folder)
    again.restore(model)
    again.log(30, loss=3.5)
    assert [record["loss"] for record in again.metrics] == [1.0, 2.0, 3.5]
    again.close()


def test_log_takes_numbers_and_one_element_tensors(run):
    run.log(1, a=torch.tensor([2.0]), b=3, c=float("nan"), d=True)
    assert read_metrics(run.folder / "metrics.jsonl") == [
        {"frames": 1, "a": 2.0, "b": 3, "c": None, "d": 1}
    ]
    with pytest.raises(ValueError, match=r"shape \[2\].*\.mean\(\)"):
        run.log(2, a=torch.zeros(2))
    with pytest.raises(ValueError, match="A metric is one number, given str"):
        run.log(2, a="high")
    assert len(run.metrics) == 1


def test_safe_point_saves_when_due_and_only_then(run):
    model = torch.nn.Linear(1, 1)
    run.safe_point(10, model)
    assert not run.has_checkpoint
    run.checkpoint_interval_s = 0.0
    run.safe_point(20, model)
    assert run.restore(model) == 20


def test_request_stop_saves_and_raises_at_the_safe_point(run):
    model = torch.nn.Linear(1, 1)
    run.request_stop(signal.SIGTERM)
    with pytest.raises(RunStopped) as stopped:
        run.safe_point(40, model)
    assert (stopped.value.frames, stopped.value.signum) == (40, signal.SIGTERM)
    assert run.restore(model) == 40


def test_signals_ask_to_stop_and_handlers_come_back(run):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with run.stop_on_signals():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(RunStopped):
            run.safe_point(1, torch.nn.Linear(1, 1))
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_finish_writes_the_result(run):
    model = torch.nn.Linear(1, 1)
    run.log(50, episode_return=1.0)
    result = run.finish(50, model, lambda: Evaluation([1.0, 2.0, 6.0], metrics={"length": 4.0}))
    assert result.eval_return_mean == 3.0
    assert result.eval_return_std == pytest.approx((14 / 3) ** 0.5)
    content = json.loads((run.folder / "result.json").read_text())
    assert content == result.to_json()
    assert content["seed"] == 5
    assert content["metrics"] == {"length": 4.0}
    assert (run.folder / "curve.png").stat().st_size > 1000
    assert run.has_checkpoint


def test_evaluation_time_is_not_training_time(run, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("rl.core.runs.run.time.monotonic", lambda: clock[0])
    run.restore(torch.nn.Linear(1, 1))

    def evaluate():
        clock[0] += 50.0
        return Evaluation([0.0])

    clock[0] += 10.0
    result = run.finish(200, torch.nn.Linear(1, 1), evaluate)
    assert (result.wall_s, result.fps) == (10.0, 20.0)


def test_finish_without_episodes_writes_null(run):
    run.finish(1, torch.nn.Linear(1, 1), lambda: Evaluation([]))
    assert json.loads((run.folder / "result.json").read_text())["eval_return_mean"] is None


def test_a_run_without_a_folder_keeps_metrics_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.start("toy", Config())
    model = torch.nn.Linear(1, 1)
    assert run.restore(model) == 0
    run.log(10, loss=1.0)
    run.save(10, model)
    assert run.metrics == [{"frames": 10, "loss": 1.0}]
    assert run.finish(10, model, lambda: Evaluation([1.0])).folder is None
    assert not list(tmp_path.iterdir())


def test_a_foreign_checkpoint_is_refused(run):
    save_state(run.folder / "checkpoint", {"weight": 1})
    with pytest.raises(CheckpointError, match="not the checkpoint of a run"):
        run.restore(torch.nn.Linear(1, 1))


def test_reporter_hears_of_start_and_updates(run):
    heard = []

    class Reporter:
        def start(self, frames):
            heard.append(frames)

        def update(self, frames, metrics):
            heard.append((frames, metrics))

        def close(self):
            heard.append("closed")

    run.reporter = Reporter()
    run.restore(torch.nn.Linear(1, 1))
    run.log(5, loss=torch.tensor(1.0))
    assert heard == [0, (5, {"loss": 1.0})]


@pytest.mark.parametrize(
    ("text", "fix"),
    [("{", "truncated or damaged"), ("[]", "expected an object"), ("{}", "lacks field `recipe`")],
)
def test_a_damaged_config_is_named(run, text, fix):
    (run.folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=fix) as error:
        open_run(run.folder)
    assert "config.json" in str(error.value)
