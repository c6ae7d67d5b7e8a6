import pytest

from rl.core.errors import RLError
from rl.core.loggers import Every


def test_seconds_are_counted_from_the_last_log():
    every = Every.seconds(10)
    assert every == Every("seconds", 10)
    assert every.mark(105.0, {}) == 105.0
    assert not every.is_due(100.0, 109.9)
    assert every.is_due(100.0, 110.0)


@pytest.mark.parametrize(
    ("last", "now", "due"), [(99, 100, True), (100, 199, False), (5, 350, True)]
)
def test_counters_are_due_when_they_pass_a_multiple(last, now, due):
    every = Every.counter("frames", 100)
    marks = [every.mark(0.0, {"frames": frames}) for frames in (last, now)]
    assert every.is_due(*marks) is due


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("hours", 1), "expected 'seconds' or 'counter'"),
        (("seconds", 0), "expected more than 0"),
        (("seconds", float("nan")), "expected more than 0"),
        (("counter", 5), "a counter needs its name"),
        (("seconds", 5, "frames"), "seconds need none"),
    ],
)
def test_bad_input(arguments, fix):
    with pytest.raises(ValueError, match=fix):
        Every(*arguments)


def test_a_counter_that_is_not_there():
    with pytest.raises(RLError, match=r"no counter `frams`; it has \['frames'\]"):
        Every.counter("frams", 5).mark(0.0, {"frames": 1.0})
