import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.data.trajectories.position_set import PositionSet


def positions(size):
    return st.lists(st.integers(0, size - 1), unique=True, max_size=30).map(
        lambda numbers: np.array(numbers, np.int64)
    )


def check(members, expected, size):
    """Everything that the set tells, against a Python set."""
    ordered = np.array(sorted(expected), np.int64)
    assert len(members) == len(expected)
    assert members.members().tolist() == ordered.tolist()
    places = np.unique(np.linspace(0, size, 50).astype(np.int64))
    assert members.rank(places).tolist() == [sum(m < p for m in expected) for p in places]
    assert members.select(np.arange(len(expected))).tolist() == ordered.tolist()
    inside = places[places < size]
    assert members.has(inside).tolist() == [p in expected for p in inside]


# one level of counts, a part of a block, and three levels
@pytest.mark.parametrize("size", [1, 63, 64, 65, 4097, 4096 * 64 + 1, 4096 * 64 * 64 + 5])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_it_is_a_set(size, data):
    members, expected = PositionSet(size), set()
    for _ in range(3):
        position = data.draw(positions(size))
        wanted = data.draw(st.booleans())
        changed = members.update(position, wanted)
        before = set(expected)
        expected = expected | set(position.tolist()) if wanted else expected - set(position)
        assert set(changed.tolist()) == before ^ expected
    check(members, expected, size)
    members.clear()
    check(members, set(), size)


def test_some_in_and_some_out():
    members = PositionSet(10)
    members.update(np.array([1, 2, 3]), True)
    changed = members.update(np.array([2, 3, 4, 5]), np.array([False, True, True, False]))
    assert changed.tolist() == [2, 4]
    assert members.members().tolist() == [1, 3, 4]


def test_assigning_is_updating():
    size = 4096 * 64 + 77
    flags = np.random.default_rng(0).random(size) < 0.01
    members = PositionSet(size)
    members.update(np.arange(5), True)
    members.assign(flags)
    check(members, set(flags.nonzero()[0].tolist()), size)
