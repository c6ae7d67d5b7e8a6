import pytest

from rl.core.errors import CheckpointError
from rl.core.runs.metrics import MetricsLog, read_metrics


def test_a_missing_file_has_no_records(tmp_path):
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_a_last_line_cut_short_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"frames": 1}\n{"frames": 2, "lo')
    assert read_metrics(path) == [{"frames": 1}]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"frames": "x"}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"frames": 1}}\n{line}\n{{"frames": 3}}\n')
    with pytest.raises(CheckpointError, match=r"metrics.jsonl`: line 2 is damaged"):
        read_metrics(path)


def test_append_after_truncate_goes_on(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for frames in (1, 2, 3):
        log.append(frames, {"x": 0.1 * frames})
    log.truncate(2)
    log.append(4, {})
    log.sync()
    log.close()
    assert read_metrics(log.path) == [
        {"frames": 1, "x": 0.1},
        {"frames": 2, "x": 0.2},
        {"frames": 4},
    ]
