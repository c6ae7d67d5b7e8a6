import threading

import pytest

from rl.core.errors import RLError
from rl.core.modules import recurrent_mode, set_recurrent_mode


@pytest.mark.parametrize(
    ("given", "expected"),
    [(True, True), ("recurrent", True), (False, False), ("sequential", False), (None, None)],
)
def test_names(given, expected):
    with set_recurrent_mode(given):
        assert recurrent_mode() is expected
    assert recurrent_mode() is None


def test_modes_nest_and_end_with_errors():
    @set_recurrent_mode(True)
    def fail():
        with set_recurrent_mode(False):
            assert recurrent_mode() is False
        assert recurrent_mode() is True
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert recurrent_mode() is None


def test_decorator():
    @set_recurrent_mode()
    def nested(depth):
        return [recurrent_mode(), *(nested(depth - 1) if depth else [])]

    assert nested(2) == [True] * 3
    assert recurrent_mode() is None


def test_threads_have_their_own():
    seen = []
    with set_recurrent_mode(True):
        thread = threading.Thread(target=lambda: seen.append(recurrent_mode()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_unknown_mode():
    with pytest.raises(RLError, match="'sequential'"), set_recurrent_mode("steps"):
        pass
