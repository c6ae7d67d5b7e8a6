import io
import sys

import pytest

from rl.core.cli import progress
from rl.core.cli.progress import BarReporter, LineReporter, reporter_for
from rl.core.errors import MissingDependencyError


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_holds_frames_return_speed_and_time_left(clock):
    stream = io.StringIO()
    reporter = LineReporter(stream, total=10_000, interval_s=1.0)
    reporter.start(1000)
    clock[0] += 2.0
    reporter.update(2000, {"episode_return": 21.5, "loss": 0.1})
    assert stream.getvalue() == "frames 2000/10000  return 21.50  fps 500  left 0:16\n"


def test_lines_keep_their_distance_and_the_last_is_shown(clock):
    stream = io.StringIO()
    reporter = LineReporter(stream, total=None, interval_s=5.0)
    reporter.start(0)
    for frames in range(10, 101, 10):
        clock[0] += 1.0
        reporter.update(frames, {})
    reporter.close()
    reporter.close()
    assert [line.split("  ")[0] for line in stream.getvalue().splitlines()] == [
        "frames 10",
        "frames 60",
        "frames 100",
    ]


def test_the_return_stays_until_the_next(clock):
    stream = io.StringIO()
    reporter = LineReporter(stream, total=None, interval_s=0.0)
    reporter.start(0)
    reporter.update(1, {"episode_return": 3.0})
    reporter.update(2, {"episode_return": None})
    assert stream.getvalue().count("return 3.00") == 2


def test_long_waits_show_hours(clock):
    stream = io.StringIO()
    reporter = LineReporter(stream, total=10_000, interval_s=0.0)
    reporter.start(0)
    clock[0] += 1.0
    reporter.update(1, {})
    assert "left 2:46:39" in stream.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_and_a_pipe_gets_lines():
    assert isinstance(reporter_for(io.StringIO(), 10), LineReporter)
    assert isinstance(reporter_for(Terminal(), 10), BarReporter)


def test_the_bar_shows_frames_speed_return_and_time_left(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    reporter = BarReporter(stream, total=1000)
    reporter.start(100)
    clock[0] += 2.0
    reporter.update(500, {"episode_return": 7.0})
    reporter.close()
    shown = stream.getvalue()
    assert "500/1000" in shown
    assert "fps 200  return 7.00  left 0:02" in shown


def test_missing_rich_says_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    monkeypatch.setattr("rl.core.cli.progress.rich_progress._module", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-core\[cli\]"'):
        BarReporter(Terminal(), total=None)
