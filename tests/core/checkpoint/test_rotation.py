import json
import math
import subprocess
import sys

import pytest
import torch

from rl.core.checkpoint import Checkpoint, CheckpointRotation, load_state
from rl.core.errors import CheckpointError


def names(rotation):
    return [path.name for path in rotation.checkpoints()]


def save(rotation, step, metric=None, **settings):
    metadata = None if metric is None else {"score": metric}
    checkpoint = Checkpoint(progress={"step": step}, **settings)
    return rotation.save(checkpoint, step=step, metadata=metadata)


@pytest.mark.parametrize("container", ["directory", "archive"])
def test_the_newest_are_kept_in_numeric_order(container, tmp_path):
    rotation = CheckpointRotation(tmp_path, keep_last=2)
    assert rotation.latest() is None
    for step in (2, 9, 10):
        path = save(rotation, step, format=container)
    assert path == rotation.latest()
    suffix = ".zip" if container == "archive" else ""
    assert names(rotation) == [f"checkpoint-9{suffix}", f"checkpoint-10{suffix}"]
    progress = {}
    result = rotation.load_latest(Checkpoint(progress=progress, other=1), strict="ignore")
    assert (progress, result.missing) == ({"step": 10}, {"other"})


def test_other_entries_stay(tmp_path):
    for name in ("checkpoint-best", "checkpoint-1.old", "logs"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-0").write_text("a file, which no archive is called")
    rotation = CheckpointRotation(tmp_path, keep_last=1)
    for step in range(1, 4):
        save(rotation, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-0",
        "checkpoint-1.old",
        "checkpoint-3",
        "checkpoint-best",
        "logs",
    ]


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("max", [[1], [2], [2, 3], [2, 4], [5]]), ("min", [[1], [1, 2], [1, 3], [1, 4], [1, 5]])],
)
def test_the_best_is_kept_too(mode, kept, tmp_path):
    """Of equals (steps 2 and 5) the newest is the best."""
    rotation = CheckpointRotation(tmp_path, keep_last=1, keep_best=("score", mode))
    assert rotation.best() is None
    for step, score in enumerate([1.0, 5.0, 2.0, 3.0, 5.0], 1):
        save(rotation, step, score)
        assert names(rotation) == [f"checkpoint-{step}" for step in kept[step - 1]]
    best = {"max": 5, "min": 1}[mode]
    assert rotation.best().name == f"checkpoint-{best}"
    assert load_state(rotation.best()) == {"progress": {"step": best}}


SAVER = """
import sys
from rl.core.checkpoint import Checkpoint, CheckpointRotation

rotation = CheckpointRotation(sys.argv[1], keep_last=1, keep_best=("score", "max"))
for step, score in ((1, 2.0), (2, 9.0), (3, 4.0)):
    rotation.save(Checkpoint(n=step), step=step, metadata={"score": score})
"""


def test_the_best_is_known_to_a_program_that_starts_again(tmp_path):
    subprocess.run([sys.executable, "-c", SAVER, str(tmp_path)], check=True)
    rotation = CheckpointRotation(tmp_path, keep_last=1, keep_best=("score", "max"))
    assert names(rotation) == ["checkpoint-2", "checkpoint-3"]
    save(rotation, 4, 1.0)
    assert names(rotation) == ["checkpoint-2", "checkpoint-4"]
    assert rotation.best().name == "checkpoint-2"
    save(rotation, 5, 9.5)
    assert names(rotation) == ["checkpoint-5"]


@pytest.mark.parametrize("metric", [None, math.nan, math.inf, "high", True])
def test_a_metric_that_orders_nothing_is_refused(metric, tmp_path):
    rotation = CheckpointRotation(tmp_path, keep_last=1, keep_best=("score", "max"))
    with pytest.raises(CheckpointError, match=r"`score`, which is .* step 3: pass `metadata"):
        save(rotation, 3, metric)
    assert names(rotation) == []


def test_metrics_of_one_number(tmp_path):
    rotation = CheckpointRotation(tmp_path, keep_last=1, keep_best=("score", "max"))
    save(rotation, 1, torch.tensor([7.0]))
    save(rotation, 2, 3)
    assert names(rotation) == ["checkpoint-1", "checkpoint-2"]


def test_checkpoints_without_the_metric_are_never_best(tmp_path):
    save(CheckpointRotation(tmp_path, keep_last=9), 1)
    rotation = CheckpointRotation(tmp_path, keep_last=1, keep_best=("score", "max"))
    assert rotation.best() is None
    save(rotation, 2, -1.0)
    assert names(rotation) == ["checkpoint-2"]


def test_what_kills_left_is_no_checkpoint_and_goes(tmp_path):
    rotation = CheckpointRotation(tmp_path, keep_last=2)
    save(rotation, 1)
    (tmp_path / "checkpoint-2" / "components-0123456789abcdef").mkdir(parents=True)
    (tmp_path / ".checkpoint-0.01234567.removed").mkdir()
    (tmp_path / "checkpoint-7").mkdir()
    (tmp_path / "checkpoint-7" / "mine.txt").write_text("x")
    assert rotation.latest().name == "checkpoint-1"
    save(rotation, 3)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["checkpoint-1", "checkpoint-3", "checkpoint-7"]


def test_a_damaged_newest_checkpoint_raises(tmp_path):
    """Going on from an older one is for the user to decide."""
    rotation = CheckpointRotation(tmp_path, keep_last=2)
    save(rotation, 1)
    manifest = save(rotation, 2) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"checkpoint-2/manifest.json` is not JSON"):
        rotation.load_latest(Checkpoint(progress={}))


def test_prune_says_what_it_removed(tmp_path):
    wide = CheckpointRotation(tmp_path, keep_last=9)
    paths = [save(wide, step) for step in range(4)]
    assert CheckpointRotation(tmp_path, keep_last=1).prune() == paths[:3]


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"keep_last": 0}, "expected at least 1"),
        ({"keep_last": 1, "keep_best": ("r", "most")}, r"such as \('eval_return', 'max'\)"),
        ({"keep_last": 1, "keep_best": "rm"}, "expected the name of a metric and 'min' or"),
    ],
)
def test_settings_are_checked(settings, fix, tmp_path):
    with pytest.raises(CheckpointError, match=fix):
        CheckpointRotation(tmp_path, **settings)


def test_steps_are_counts(tmp_path):
    with pytest.raises(CheckpointError, match="expected a count of steps"):
        save(CheckpointRotation(tmp_path, keep_last=1), -1)


def test_without_checkpoints_it_says_so(tmp_path):
    rotation = CheckpointRotation(tmp_path / "absent", keep_last=1)
    with pytest.raises(CheckpointError, match="holds no `checkpoint-<step>` checkpoint yet"):
        rotation.load_latest(Checkpoint())


def test_the_metric_is_in_the_manifest_file(tmp_path):
    rotation = CheckpointRotation(tmp_path, keep_last=1, keep_best=("score", "min"))
    path = save(rotation, 5, 0.25)
    body = json.loads((path / "manifest.json").read_bytes())["body"]
    assert body["metadata"] == {"score": 0.25}
