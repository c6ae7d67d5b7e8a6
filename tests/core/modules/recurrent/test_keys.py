import pytest

from rl.core.errors import RLError, SpecError
from rl.core.modules.recurrent.keys import resolve_keys

NAMES = ("h", "c")


def resolve(in_key=None, in_keys=None, out_key=None, out_keys=None):
    return resolve_keys("LSTMModule", NAMES, in_key, in_keys, out_key, out_keys)


def test_defaults():
    keys = resolve(in_key="x", out_key="y")
    assert keys.read == ["x", "h", "c", "is_init"]
    assert keys.written == ["y", ("next", "h"), ("next", "c")]


def test_lists_and_nested_keys():
    keys = resolve(
        in_keys=[("a", "x"), ("a", "h"), ("a", "c")],
        out_keys=["y", ("next", "a", "h"), ("next", ("a", "c"))],
    )
    assert keys.read == [("a", "x"), ("a", "h"), ("a", "c"), "is_init"]
    assert keys.written == ["y", ("next", "a", "h"), ("next", "a", "c")]
    assert resolve(in_keys=["x", "h", "c", "first"], out_key="y").init == "first"


def test_one_of_each_pair():
    with pytest.raises(RLError, match="both of `in_key` and `in_keys`, expected one"):
        resolve(in_key="x", in_keys=["x", "h", "c"], out_key="y")
    with pytest.raises(RLError, match="neither of `out_key` and `out_keys`, expected one"):
        resolve(in_key="x")


def test_wrong_number_of_keys():
    with pytest.raises(RLError, match=r"expected 4 keys: \['input', 'h', 'c', 'is_init'\]"):
        resolve(in_keys=["x", "h"], out_key="y")
    with pytest.raises(RLError, match="expected 3 keys"):
        resolve(in_key="x", out_keys=["y", ("next", "h")])


def test_a_state_that_the_next_step_would_not_read():
    with pytest.raises(SpecError, match="pass `out_key=`"):
        resolve(in_key="x", out_keys=["y", "h", "c"])
    with pytest.raises(SpecError, match=r"it reads \['h', 'c'\]"):
        resolve(in_key="x", out_keys=["y", ("next", "c"), ("next", "h")])
