import time

import pytest

from rl.core.errors import RLError
from rl.core.timing import timeit


@pytest.fixture(autouse=True)
def fresh():
    timeit.erase()
    yield
    timeit.erase()


def test_context_adds_up(monkeypatch):
    clock = iter([0.0, 1.0, 10.0, 13.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    for _ in range(2):
        with timeit("a"):
            pass
    assert timeit.todict() == {"a": 2.0}
    assert timeit.todict(percall=False, prefix="time") == {"time/a": 4.0}
    assert timeit.count("a") == 2


def test_decorator_keeps_name_and_result():
    @timeit("double")
    def double(x):
        """Doubles."""
        return 2 * x

    assert double(3) == 6
    assert double.__name__ == "double"
    assert timeit.count("double") == 1


def test_recursion_and_errors_are_counted():
    @timeit("down")
    def down(n):
        if n == 0:
            raise KeyError(n)
        down(n - 1)

    with pytest.raises(KeyError):
        down(3)
    assert timeit.count("down") == 4


def test_print_sorts_by_total(monkeypatch, caplog):
    clock = iter([0.0, 1.0, 0.0, 5.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    for name in ("short", "long"):
        with timeit(name):
            pass
    with caplog.at_level("INFO", logger="rl"):
        text = timeit.print(prefix="t")
    assert text.splitlines() == [
        "t/long: 5000.0000 ms per call, 5.0000 s, 1 calls",
        "t/short: 1000.0000 ms per call, 1.0000 s, 1 calls",
    ]
    assert [record.message for record in caplog.records] == text.splitlines()


def test_unknown_labels_and_erase():
    assert timeit.count("never") == 0
    with timeit("a"):
        pass
    timeit.erase()
    assert timeit.todict() == {}


def test_elapsed_reads_the_clock_inside(monkeypatch):
    clock = iter([0.0, 2.0, 5.0, 5.0, 9.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with timeit("a") as timer:
        assert timer.elapsed() == 2.0
    assert timeit.todict() == {"a": 5.0}
    assert timeit("b").start().elapsed() == 4.0
    with pytest.raises(RLError, match=r"use `with timeit\(...\)` or `start\(\)`"):
        timer.elapsed()


def test_marks_span_functions(monkeypatch):
    clock = iter([0.0, 2.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timeit.mark_start("wait")
    timeit.mark_end("wait")
    assert timeit.todict() == {"wait": 2.0}
    with pytest.raises(RLError, match=r"call `timeit\.mark_start\('wait'\)` before"):
        timeit.mark_end("wait")


@pytest.mark.parametrize(
    ("num", "total", "erase"), [(4, 100, False), (7, 100, True), (9, 3, False)]
)
def test_printevery_prints_at_equal_distances(monkeypatch, num, total, erase):
    printed = []
    monkeypatch.setattr(timeit, "_calls_of_printevery", 0)
    monkeypatch.setattr(timeit, "print", lambda prefix: printed.append((i, prefix)))
    for i in range(total):
        with timeit("a"):
            pass
        timeit.printevery(num, total, prefix="p", erase=erase)
        assert bool(timeit.todict()) is not (erase and printed[-1:] == [(i, "p")])
    interval = max(1, total // num)
    assert printed == [(i, "p") for i in range(interval - 1, total, interval)]
    with pytest.raises(ValueError, match="expected 1 or more"):
        timeit.printevery(0, 10)


def test_sync_waits_for_the_device_at_both_ends(monkeypatch):
    events = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.synchronize", lambda: events.append("sync"))
    with timeit("a", sync=True):
        events.append("work")
    with timeit("a"):
        pass
    assert events == ["sync", "work", "sync"]
