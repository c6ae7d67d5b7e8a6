import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from rl.core.checkpoint import load_state
from rl.core.cli.main import main
from rl.core.runs import read_metrics


def components(folder):
    saved = load_state(folder / "checkpoint")
    return saved["frames"], saved["components"]


def assert_same_run(first, second):
    frames, one = components(first)
    assert (frames, two := components(second)[1])[0] == frames
    for name in one["model"]:
        assert torch.equal(one["model"][name], two["model"][name]), name
    for key, moments in one["optim"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(value, two["optim"]["state"][key][name]), name
    assert torch.equal(one["rng"]["state"], two["rng"]["state"])
    assert read_metrics(first / "metrics.jsonl") == read_metrics(second / "metrics.jsonl")


def start(toy_path, *arguments):
    return subprocess.Popen(
        [sys.executable, str(toy_path), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_metrics(folder, count):
    deadline = time.monotonic() + 60
    path = folder / "metrics.jsonl"
    while not path.exists() or path.read_text().count("\n") < count:
        assert time.monotonic() < deadline, "the run logs nothing"
        time.sleep(0.02)


def test_list_names_recipe_and_wheel(toy, capsys):
    assert main(["list"]) == 0
    assert "toy" in capsys.readouterr().out


def test_train_writes_the_run_folder(toy, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "toy", "--total-frames", "200", "--seed", "3", "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "checkpoint",
        "curve.png",
        "result.json",
        ".lock",
    }
    result = json.loads((out / "result.json").read_text())
    assert result["frames"] == 200
    assert result["seed"] == 3
    assert result["eval_return_std"] == 0.0
    assert result["fps"] == pytest.approx(200 / result["wall_s"])
    assert result["versions"]["torch"] == torch.__version__
    config = json.loads((out / "config.json").read_text())
    assert config["recipe"] == "toy"
    assert config["config"]["hidden"] == [4]
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "frames 200/200" in printed
    assert "\x1b" not in printed, "no terminal, no control sequences"


def test_train_reads_nested_flags(toy, tmp_path):
    out = tmp_path / "run"
    assert main(["train", "toy", "--hidden", "8", "--total-frames", "10", "--out", str(out)]) == 0
    assert components(out)[1]["model"]["0.weight"].shape == (8, 3)


def test_train_without_out_names_a_folder(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "toy", "--total-frames", "10"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("toy-")
    assert (folder / "result.json").exists()


def test_train_refuses_a_folder_that_holds_a_run(toy, tmp_path, capsys):
    arguments = ["train", "toy", "--total-frames", "10", "--out", str(tmp_path / "run")]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert f"rl resume {tmp_path / 'run'}" in capsys.readouterr().err


def test_unknown_recipe_suggests_the_nearest(toy, capsys):
    assert main(["train", "toyy"]) == 1
    assert "Did you mean `toy`?" in capsys.readouterr().err


def test_unknown_flag_is_wrong_usage(toy, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "toy", "--sed", "1"])
    assert stopped.value.code == 2
    assert "--seed" in capsys.readouterr().err


def test_missing_tyro_says_the_pip_command(toy, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tyro", None)
    monkeypatch.setattr("rl.core.cli.commands.tyro._module", None)
    assert main(["train", "toy"]) == 1
    assert 'pip install "rl-core[cli]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_signal_then_resume_equals_uninterrupted(toy, toy_path, tmp_path, signum, code):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert main(["train", "toy", "--total-frames", "1000", "--out", str(whole)]) == 0
    process = start(toy_path, "train", "toy", "--pause-s", 0.05, "--out", parted)
    try:
        wait_for_metrics(parted, 5)
        process.send_signal(signum)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert f"rl resume {parted}" in out
    frames, _ = components(parted)
    assert 50 <= frames < 1000, "the run was not stopped in its middle"
    config = json.loads((parted / "config.json").read_text())
    config["config"]["pause_s"] = 0.0
    (parted / "config.json").write_text(json.dumps(config))
    assert main(["resume", str(parted)]) == 0
    assert_same_run(whole, parted)


def test_kill_nine_falls_back_to_the_last_periodic_checkpoint(toy, toy_path, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert main(["train", "toy", "--total-frames", "1000", "--out", str(whole)]) == 0
    process = start(
        toy_path, "train", "toy", "--pause-s", 0.03, "--checkpoint-interval-s", 0.1, "--out", parted
    )
    try:
        wait_for_metrics(parted, 15)
    finally:
        process.kill()
        process.communicate(timeout=60)
    frames, _ = components(parted)
    assert 0 < frames < 1000
    # a line that the kill cut short is written again
    with open(parted / "metrics.jsonl", "a") as file:
        file.write('{"frames": 99')
    config = json.loads((parted / "config.json").read_text())
    config["config"]["pause_s"] = 0.0
    (parted / "config.json").write_text(json.dumps(config))
    assert main(["resume", str(parted)]) == 0
    assert_same_run(whole, parted)


def test_resume_of_a_run_in_training_names_the_process(
    toy, toy_path, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("rl.core.cli.commands.STOPPING_S", 0.2)
    process = start(toy_path, "train", "toy", "--pause-s", 0.05, "--out", tmp_path / "run")
    try:
        wait_for_metrics(tmp_path / "run", 1)
        assert main(["resume", str(tmp_path / "run")]) == 1
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert f"`kill {process.pid}`" in capsys.readouterr().err


def test_resume_of_a_finished_run_says_so(toy, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["train", "toy", "--total-frames", "10", "--out", out]) == 0
    before = (tmp_path / "run" / "result.json").read_bytes()
    assert main(["resume", out]) == 0
    assert "is finished, after 10 frames" in capsys.readouterr().out
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_eval_plays_the_saved_policy(toy, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "toy", "--total-frames", "50", "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["eval", str(out), "--episodes", "7"]) == 0
    expected = json.loads((out / "result.json").read_text())["eval_return_mean"]
    printed = capsys.readouterr().out
    assert f"return {expected:.2f} ± 0.00 over 7 episodes" in printed


@pytest.mark.parametrize("command", [["eval"], ["resume"], ["plot"]])
def test_a_folder_without_a_run_is_named(command, tmp_path, capsys):
    assert main([*command, str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"`{tmp_path}` is not a run folder" in error
    assert "rl train --out" in error


def test_eval_before_the_first_checkpoint(toy, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "toy", "--total-frames", "10", "--out", str(out)]) == 0
    (out / "checkpoint" / "manifest.json").unlink()
    assert main(["eval", str(out)]) == 1
    assert "holds no checkpoint yet" in capsys.readouterr().err


def test_a_truncated_checkpoint_is_named(toy, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "toy", "--total-frames", "10", "--out", str(out)]) == 0
    (file,) = (out / "checkpoint").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-5])
    assert main(["eval", str(out)]) == 1
    assert file.name in capsys.readouterr().err


def test_plot_draws_seeds_together(toy, tmp_path, capsys):
    folders = [tmp_path / str(seed) for seed in range(2)]
    for seed, folder in enumerate(folders):
        flags = ["--total-frames", "50", "--seed", str(seed), "--out", str(folder)]
        assert main(["train", "toy", *flags]) == 0
    image = tmp_path / "curves.png"
    assert main(["plot", *map(str, folders), "--out", str(image)]) == 0
    assert "2 runs drawn" in capsys.readouterr().out
    assert image.read_bytes().startswith(b"\x89PNG")


def test_checkpoint_holds_no_pickle(toy, tmp_path):
    out = tmp_path / "run"
    assert main(["train", "toy", "--total-frames", "10", "--out", str(out)]) == 0
    names = sorted(path.suffix for path in (out / "checkpoint").iterdir())
    assert names == [".json", ".safetensors"]
