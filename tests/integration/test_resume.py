"""Stopping `rl train` and going on with `rl resume` ends in the same bits as never stopping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rl.core.checkpoint import load_state

RUNS = {
    "ppo": ["--env", "CartPole-v1", "--total-frames", "6144", "--frames-per-batch", "512"],
    "dqn": ["--total-frames", "4096", "--updates-per-batch", "16"],
    "sac": ["--total-frames", "1400", "--log-interval", "100", "--hidden", "32", "32"],
}
COMMON = ["--seed", "3", "--eval-episodes", "1", "--checkpoint-interval-s", "0.2"]


def rl(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "rl.core.cli.main", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> int:
    output, _ = process.communicate(timeout=240)
    assert process.returncode in (0, 128 + signal.SIGTERM, -signal.SIGKILL), output
    return process.returncode


def wait_for_lines(path: Path, count: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_text().count("\n") >= count:
            return
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it could be stopped"
    raise AssertionError(f"`{path}` has no {count} lines")


def differences(one: object, other: object, path: str = "") -> list[str]:
    """Return the paths at which two states differ."""
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{path}: keys"]
        return [d for key in one for d in differences(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{path}: length"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}/{i}")]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [path]
    if hasattr(one, "tobytes"):
        return [] if one.tobytes() == other.tobytes() else [path]
    if hasattr(one, "batch_size"):
        return differences(one.to_dict(), other.to_dict(), path)
    return [] if one == other or one != one else [path]


@pytest.mark.parametrize(
    ("recipe", "stop"),
    [
        ("ppo", signal.SIGTERM),
        ("ppo", signal.SIGKILL),
        ("dqn", signal.SIGTERM),
        ("sac", signal.SIGTERM),
    ],
)
def test_resume_is_bit_exact(recipe, stop, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    flags = [*RUNS[recipe], *COMMON]
    assert finish(rl("train", recipe, *flags, "--out", str(whole))) == 0
    stopped = rl("train", recipe, *flags, "--out", str(cut))
    wait_for_lines(cut / "metrics.jsonl", 4, stopped)
    os.kill(stopped.pid, stop)
    assert finish(stopped) != 0, "the run was not stopped"
    assert not (cut / "result.json").exists()
    assert finish(rl("resume", str(cut))) == 0
    expected, resumed = (load_state(run / "checkpoint")["components"] for run in (whole, cut))
    assert differences(expected, resumed) == []
