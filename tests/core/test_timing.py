import time

import pytest

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
