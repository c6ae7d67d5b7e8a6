import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.data import find_start_stop_traj


def found(**kwargs):
    return [part.tolist() for part in find_start_stop_traj(**kwargs)]


def test_the_examples_of_torchrl():
    end = torch.zeros(10, dtype=torch.bool)
    end[2] = end[7] = True
    assert found(end=end, at_capacity=True, cursor=4) == [
        [[8], [3], [5]],
        [[2], [4], [7]],
        [5, 2, 3],
    ]
    ids = torch.tensor([5, 5, 5, 0, 0, 1, 1, 1, 5, 5])
    assert found(trajectory=ids, at_capacity=True) == [[[8], [3], [5]], [[2], [4], [7]], [5, 2, 3]]


def test_several_columns():
    """Numbers of TorchRL 0.14.1."""
    end = torch.zeros(6, 2, dtype=torch.bool)
    end[1, 0] = end[3, 1] = end[4, 0] = True
    assert found(end=end, at_capacity=True) == [
        [[5, 0], [2, 0], [4, 1]],
        [[1, 0], [4, 0], [3, 1]],
        [3, 3, 6],
    ]
    assert found(end=end, at_capacity=True, cursor=range(1, 3)) == [
        [[5, 0], [2, 0], [3, 0], [4, 1], [3, 1]],
        [[1, 0], [2, 0], [4, 0], [2, 1], [3, 1]],
        [3, 1, 2, 5, 1],
    ]
    assert found(end=end.unsqueeze(-1), at_capacity=False) == [
        [[0, 0, 0], [2, 0, 0], [5, 0, 0], [0, 1, 0], [4, 1, 0]],
        [[1, 0, 0], [4, 0, 0], [5, 0, 0], [3, 1, 0], [5, 1, 0]],
        [2, 3, 1, 4, 2],
    ]


def test_without_any_end():
    end = torch.zeros(4, dtype=torch.bool)
    assert found(end=end, at_capacity=True) == [[[0]], [[3]], [4]]
    assert found(end=end, at_capacity=True, cursor=torch.tensor([0, 1])) == [[[2]], [[1]], [4]]
    # the cursor of a buffer that is not full says nothing
    assert found(end=end, at_capacity=False, cursor=1) == [[[0]], [[3]], [4]]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_the_pieces_cover_everything(data, rows, columns, full):
    table = st.lists(st.booleans(), min_size=columns, max_size=columns)
    end = torch.tensor(data.draw(st.lists(table, min_size=rows, max_size=rows)))
    cursor = data.draw(st.integers(0, rows - 1))
    start, stop, length = find_start_stop_traj(end=end, at_capacity=full, cursor=cursor)
    covered = []
    for (first, column), (last, other), n in zip(
        start.tolist(), stop.tolist(), length.tolist(), strict=True
    ):
        steps = [(first + i) % rows for i in range(n)]
        assert column == other
        assert steps[-1] == last
        ends = [bool(end[s, column]) or (full and s == cursor) for s in steps]
        assert not any(ends[:-1])
        assert ends[-1] or (not full and last == rows - 1)
        covered += [(s, column) for s in steps]
    assert sorted(covered) == [(r, c) for r in range(rows) for c in range(columns)]


def test_bad_input():
    end = torch.zeros(4, dtype=torch.bool)
    with pytest.raises(TypeError, match="one of the two"):
        find_start_stop_traj(at_capacity=True)
    with pytest.raises(TypeError, match="one of the two"):
        find_start_stop_traj(end=end, trajectory=end, at_capacity=True)
    with pytest.raises(IndexError, match="one of the 4 rows"):
        find_start_stop_traj(end=end, at_capacity=True, cursor=4)
