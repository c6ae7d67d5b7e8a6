"""The incremental index against one that is rebuilt, row by row, from what was written."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, ShapeError
from rl.data import LazyTensorStorage, ListStorage, RoundRobinWriter
from rl.data.trajectories import index as index_module
from rl.data.trajectories.boundaries import Boundaries
from rl.data.trajectories.index import TrajectoryIndex


@dataclass
class Slow:
    """What each element holds, and when it was written; trajectories by walking along."""

    rows: int
    columns: int
    ids: dict = field(default_factory=dict)  # (row, column) -> id
    ends: dict = field(default_factory=dict)  # (row, column) -> whether a flag is set
    newest: int = -1
    used: int = 0

    def trajectories(self, by_ids):
        """Return the trajectories as a sorted list of lists of elements, oldest row first."""
        order = [(self.newest + 1 + i) % self.used for i in range(self.used)]
        found = []
        for column in range(self.columns):
            piece = []
            for place, row in enumerate(order):
                piece.append((row, column))
                last = place + 1 == len(order)
                if last or self.ends_at(row, order[(place + 1) % self.used], column, by_ids):
                    found.append(piece)
                    piece = []
        return sorted([row * self.columns + column for row, column in t] for t in found)

    def ends_at(self, row, following, column, by_ids):
        if by_ids:
            return self.ids[row, column] != self.ids[following, column]
        return self.ends[row, column]


def told(index):
    """The index's trajectories in the form of `Slow.trajectories`."""
    last = index.all(1)
    return sorted(
        index.elements(index.step(np.full(n, p), np.arange(1 - n, 1))).tolist()
        for p, n in zip(last, index.length_of(last), strict=True)
    )


class World:
    """A storage with a writer, the index that follows it, and the slow truth."""

    def __init__(self, rows, columns, by_ids, make=LazyTensorStorage):
        ndim = {"ndim": 2} if columns > 1 else {}
        self.storage = make(rows * columns, **ndim)
        self.writer = RoundRobinWriter()
        self.writer.register_storage(self.storage)
        self.by_ids = by_ids
        key = {"traj_key": "ids"} if by_ids else {"end_key": "end"}
        self.index = TrajectoryIndex(Boundaries(**key))
        self.slow = Slow(rows, columns)

    def data(self, ids, ends):
        shape = [len(ids), self.slow.columns]
        if self.slow.columns == 1:
            shape = shape[:1]
        return TensorDict(
            {
                "ids": torch.tensor(ids).reshape(shape),
                "end": torch.tensor(ends).reshape(*shape, 1),
            },
            shape,
        )

    def extend(self, ids, ends):
        elements = self.writer.extend(self.data(ids, ends)).numpy()
        self.index.extend(self.storage, elements)
        columns = self.slow.columns
        self.note(elements, np.reshape(ids, -1), np.reshape(ends, -1))
        self.slow.newest = int(elements[-1]) // columns
        self.slow.used = self.storage.num_rows

    def overwrite(self, row, column, new_id, end):
        data = self.data([[new_id] * self.slow.columns], [[end] * self.slow.columns])
        element = row * self.slow.columns + column
        self.storage[(row, column) if self.slow.columns > 1 else row] = (
            data[0, 0] if (self.slow.columns > 1) else data[0]
        )
        self.index.mark(self.storage, np.array([element]))
        self.note([element], [new_id], [end])

    def note(self, elements, ids, ends):
        for element, new_id, end in zip(elements, ids, ends, strict=True):
            place = divmod(int(element), self.slow.columns)
            self.slow.ids[place] = int(new_id)
            self.slow.ends[place] = bool(end)

    def check(self):
        self.index.refresh(self.storage)
        expected = self.slow.trajectories(self.by_ids)
        assert told(self.index) == expected
        assert self.index.longest() == max(map(len, expected))
        for length in (1, 2, 3, 5):
            assert self.index.count(length) == sum(len(t) >= length for t in expected)
        element = np.arange(len(self.storage))
        last = self.index.last_of(self.index.positions(element))
        owner = {e: t[-1] for t in expected for e in t}
        assert self.index.elements(last).tolist() == [owner[e] for e in element.tolist()]
        first = {t[-1]: t[0] for t in expected}
        assert self.index.elements(self.index.first_of(last)).tolist() == [
            first[owner[e]] for e in element.tolist()
        ]


# the second way to measure what changed, one by one, is otherwise that of large storages
@pytest.mark.parametrize("look_up", [index_module._LOOK_UP, 0])
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.data(),
    rows=st.integers(1, 9),
    columns=st.sampled_from([1, 1, 3]),
    by_ids=st.booleans(),
)
def test_it_follows_any_writes(monkeypatch, look_up, data, rows, columns, by_ids):
    """Trajectories of all lengths, parts of them, wrap-around, and rows changed in place."""
    monkeypatch.setattr(index_module, "_LOOK_UP", look_up)
    world = World(rows, columns, by_ids)
    number = st.integers(0, 2)
    flag = st.integers(0, 3).map(lambda x: x == 0)
    for _ in range(data.draw(st.integers(1, 8))):
        if world.slow.used and data.draw(st.integers(0, 3)) == 0:
            row = data.draw(st.integers(0, world.slow.used - 1))
            column = data.draw(st.integers(0, columns - 1))
            world.overwrite(row, column, data.draw(number), data.draw(flag))
        else:
            count = data.draw(st.integers(1, rows))
            table = st.lists(
                st.lists(number, min_size=columns, max_size=columns),
                min_size=count,
                max_size=count,
            )
            ids = data.draw(table)
            ends = [[x == 0 for x in row] for row in data.draw(table)]
            world.extend(ids, ends)
        if data.draw(st.booleans()):  # several writes between two looks
            world.check()
    world.check()


@pytest.mark.parametrize("by_ids", [True, False])
@pytest.mark.parametrize("columns", [1, 2])
def test_it_follows_small_writes_to_a_large_storage(by_ids, columns):
    """Large enough that neither everything is read again nor all lengths are measured again."""
    rows = 3000
    random = np.random.default_rng(0)
    world = World(rows, columns, by_ids)
    for turn in range(150):
        count = int(random.choice([1, 3, 40]))
        ids = np.repeat(np.arange(turn * 100, turn * 100 + count)[:, None] // 30, columns, 1)
        ends = random.random((count, columns)) < 0.1
        world.extend(ids.tolist(), ends.tolist())
        if turn == 3:
            world.extend(np.zeros((rows, columns), int).tolist(), [[False] * columns] * rows)
        if turn > 3:
            assert not world.index._stale
        if turn % 30 == 0 or turn > 140:
            world.check()
        else:
            world.index.refresh(world.storage)
            world.index.count(5)


def test_rows_that_fill_the_storage_and_go_on():
    """No end appears or goes, but the trajectory that ends at row 0 is longer than before."""
    world = World(200, 1, by_ids=True)
    world.extend([[1]] + [[0]] * 198, [[False]] * 199)
    world.check()
    world.extend([[1]] * 2, [[False]] * 2)
    world.check()
    assert told(world.index) == [list(range(1, 199)), [199, 0]]


def test_what_changed_is_told():
    world = World(1000, 1, by_ids=False)
    world.extend([[0]] * 1000, [[False]] * 1000)
    assert world.index.refresh(world.storage) is None
    assert world.index.refresh(world.storage).written.size == 0
    world.extend([[0]] * 2, [[False], [True]])
    change = world.index.refresh(world.storage)
    assert change.written.tolist() == [0, 1]
    # 999 was the newest and is not any more; 1 is the newest and an end
    assert change.ends.tolist() == [1, 999]


def test_rows_written_by_others_are_seen():
    storage = LazyTensorStorage(10)
    index = TrajectoryIndex(Boundaries())
    storage.set(range(4), {"episode": torch.tensor([0, 0, 1, 1])})
    index.refresh(storage)
    storage.set(range(4, 6), {"episode": torch.tensor([1, 1])})
    index.refresh(storage)
    assert told(index) == [[0, 1], [2, 3, 4, 5]]


def test_the_newest_row_is_an_end_from_the_start():
    storage = LazyTensorStorage(4)
    storage.set(range(4), {"episode": torch.zeros(4)})
    index = TrajectoryIndex(Boundaries())
    index.reset(newest=1)
    index.refresh(storage)
    assert told(index) == [[2, 3, 0, 1]]


def test_state_keeps_the_seams():
    world = World(6, 1, by_ids=True)
    world.extend([[0]] * 4, [[False]] * 4)
    world.extend([[0]] * 4, [[False]] * 4)
    other = TrajectoryIndex(Boundaries("ids"))
    other.load_state_dict(world.index.state_dict())
    other.refresh(world.storage)
    world.check()
    assert told(other) == told(world.index) == [[2, 3, 4, 5, 0, 1]]


def test_writes_that_do_not_follow_each_other_are_not_joined():
    """A writer may put rows anywhere; rows that only lie side by side are not a trajectory."""
    storage = ListStorage(6)
    index = TrajectoryIndex(Boundaries("episode"))
    storage.set(range(6), [{"episode": 0}] * 6)
    index.extend(storage, np.arange(6))
    index.extend(storage, np.array([2, 3]))
    index.refresh(storage)
    assert told(index) == [[0, 1], [2, 3], [4, 5]]


def test_rows_that_were_not_kept():
    world = World(9, 1, by_ids=True)
    world.extend([[0], [1], [1]], [[False]] * 3)
    world.index.refresh(world.storage)
    world.index.extend(world.storage, np.array([-1, 1, -1]))
    world.index.refresh(world.storage)
    assert told(world.index) == [[0], [1], [2]]


def test_given_ends():
    storage = LazyTensorStorage(5)
    index = TrajectoryIndex(Boundaries(ends=torch.tensor([0, 1, 0, 0, 0]).bool()))
    storage.set(range(5), {"x": torch.zeros(5)})
    index.extend(storage, np.arange(5))
    index.refresh(storage)
    assert told(index) == [[2, 3, 4, 0, 1]]
    index.extend(storage, np.arange(1))
    with pytest.raises(ShapeError, match="Name a key"):
        index.refresh(storage)


def test_given_ends_without_any():
    storage = LazyTensorStorage(3)
    storage.set(range(3), {"x": torch.zeros(3)})
    index = TrajectoryIndex(Boundaries(ends=torch.zeros(3).bool()))
    index.refresh(storage)
    assert told(index) == [[0, 1, 2]]


def test_given_ids_of_another_size():
    storage = LazyTensorStorage(3)
    storage.set(range(3), {"x": torch.zeros(3)})
    index = TrajectoryIndex(Boundaries(trajectories=torch.zeros(4)))
    with pytest.raises(ShapeError, match=r"has 4 entries.*Give one per element"):
        index.refresh(storage)


def test_rows_without_boundaries():
    storage = ListStorage(3)
    storage.set(range(2), ["a", "b"])
    with pytest.raises(MissingKeyError, match="name yours with `traj_key="):
        TrajectoryIndex(Boundaries()).refresh(storage)
