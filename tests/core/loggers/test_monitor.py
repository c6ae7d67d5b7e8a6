import threading
import time

import pytest

from rl.core.errors import RLError
from rl.core.loggers import CSVLogger, Every, LoggerMonitor


class Collector:
    """Gives its numbers, or raises what it is told to."""

    def __init__(self, **stats):
        self.numbers, self.error = stats, None

    def stats(self, factor=1):
        if self.error is not None:
            raise self.error
        return {key: factor * value for key, value in self.numbers.items()}


@pytest.fixture
def clock(monkeypatch):
    """The monitor's clock, set by hand."""
    now = [100.0]
    monkeypatch.setattr("rl.core.loggers.monitor.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def logger(tmp_path):
    logger = CSVLogger("run", str(tmp_path))
    yield logger
    logger.close()


@pytest.fixture
def monitor(logger):
    return LoggerMonitor(logger, background=False, on_error="raise")


def lines(logger, name):
    return (logger.folder / "scalars" / f"{name}.csv").read_text().split()


def test_each_poll_logs_without_a_schedule(monitor, logger):
    collector = Collector(size=3)
    assert monitor.watch(collector) == "collector"
    assert monitor.watch(collector) == "collector_1"
    monitor.unwatch("collector_1")
    assert monitor.step() == {"collector": {"collector/size": 3.0}}
    monitor.step()
    assert lines(logger, "collector/size") == ["0,3.0", "1,3.0"]


def test_counters_schedule_and_are_the_step(monitor, logger, clock):
    collector = Collector(frames=0)
    monitor.watch(collector, name="c", schedule=Every.counter("frames", 100), log_on_start=False)
    assert monitor.step() == {}
    for frames, due in [(99, False), (100, True), (150, False), (420, True), (450, False)]:
        collector.numbers["frames"] = frames
        clock[0] += 1
        assert bool(monitor.step()) is due, frames
    assert lines(logger, "c/frames") == ["100,100.0", "420,420.0"]
    # 100 frames in 2 s since the baseline, 320 in 2 s since that log
    assert lines(logger, "c/frames_per_second") == ["100,50.0", "420,160.0"]


def test_a_counter_that_went_back_starts_anew(monitor, clock):
    collector = Collector(frames=500)
    monitor.watch(collector, name="c", schedule=Every.counter("frames", 100))
    monitor.step()
    collector.numbers["frames"], clock[0] = 10, 101.0
    assert monitor.step() == {}
    collector.numbers["frames"], clock[0] = 110, 102.0
    assert monitor.step() == {"c": {"c/frames": 110.0}}, "and no negative rate"


def test_seconds_schedule(monitor, clock):
    monitor.watch(Collector(size=1), name="c", schedule=Every.seconds(10))
    due = []
    for now in (100, 105, 110, 119, 125):
        clock[0] = now
        due.append(bool(monitor.step()))
    assert due == [True, False, True, False, True]


def test_rates_step_and_source_can_be_chosen(monitor, logger, clock):
    collector = Collector(writes=10, frames=10)
    monitor.watch(
        object(),
        name="c",
        step="writes",
        stats_fn=collector.stats,
        stats_kwargs={"factor": 2},
        rate_keys=["writes"],
    )
    monitor.step()
    collector.numbers["writes"], clock[0] = 15, 101.0
    assert monitor.step()["c"] == {
        "c/writes": 30.0,
        "c/frames": 20.0,
        "c/writes_per_second": 10.0,
    }
    assert lines(logger, "c/frames") == ["20,20.0", "30,20.0"]


def test_stop_logs_once_more(monitor):
    monitor.watch(Collector(size=1), name="kept")
    monitor.watch(Collector(size=2), name="left", log_on_close=False)
    logged = []
    monitor.logger.log_metrics = lambda metrics, step: logged.append(metrics)
    monitor.stop()
    monitor.stop()
    assert logged == [{"kept/size": 1.0}]
    monitor.start()
    monitor.stop(log_final=True)
    assert logged[1:] == [{"kept/size": 1.0}, {"left/size": 2.0}]
    monitor.start().stop(log_final=False)
    assert len(logged) == 3


def test_the_thread_polls_and_ends(logger):
    with LoggerMonitor(logger, poll_interval=0.01) as monitor:
        monitor.watch(Collector(size=1), name="c")
        deadline = time.monotonic() + 20
        while not (logger.folder / "scalars/c/size.csv").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not any(thread.name == "rl-monitor" for thread in threading.enumerate())
    count = len(lines(logger, "c/size"))
    time.sleep(0.05)
    assert len(lines(logger, "c/size")) == count


def test_an_error_of_the_thread_is_raised_by_stop(logger):
    collector = Collector(size=1)
    collector.error = OSError("no disk")
    monitor = LoggerMonitor(logger, poll_interval=0.01, on_error="raise")
    monitor.watch(collector)
    thread = monitor.start()._thread
    thread.join(20)
    with pytest.raises(OSError, match="no disk"):
        monitor.stop()


def test_errors_warn_once_in_a_row_and_leave_the_others(logger):
    monitor = LoggerMonitor(logger, background=False)
    bad = Collector(size=1)
    monitor.watch(bad, name="bad")
    monitor.watch(Collector(size=2), name="good")
    bad.error = OSError("no disk")
    with pytest.warns(RuntimeWarning, match="`bad` could not be logged: OSError: no disk"):
        assert monitor.step() == {"good": {"good/size": 2.0}}
    monitor.step()
    bad.error = None
    assert "bad" in monitor.step()
    bad.error = OSError("no disk")
    with pytest.warns(RuntimeWarning, match="could not be logged"):
        monitor.step()
    quiet = LoggerMonitor(logger, background=False, on_error="ignore")
    quiet.watch(bad)
    assert quiet.step() == {}


def test_bad_input(monitor, logger):
    with pytest.raises(TypeError, match="pass `stats_fn=`"):
        monitor.watch(object())
    monitor.watch(Collector(size=1), name="c")
    with pytest.raises(ValueError, match="give another `name`"):
        monitor.watch(Collector(), name="c")
    with pytest.raises(KeyError, match="Did you mean `c`"):
        monitor.unwatch("cc")
    monitor.watch(Collector(size=1), name="d", step="frames")
    with pytest.raises(RLError, match="has no `frames`, which is its step"):
        monitor.step()
    with pytest.raises(ValueError, match="expected seconds above 0"):
        LoggerMonitor(logger, poll_interval=0)
    with pytest.raises(ValueError, match="expected one of"):
        LoggerMonitor(logger, on_error="cry")
