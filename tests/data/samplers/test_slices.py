import gc
import math
import weakref
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import MissingKeyError
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSliceSampler,
    ReplayBuffer,
    SliceSampler,
    SliceSamplerWithoutReplacement,
    TensorDictReplayBuffer,
    TensorStorage,
    split_trajectories,
)
from rl.data.testing import check_buffer


def rows(lengths, *, ids=False, **entries):
    """Whole trajectories of the given lengths, one after the other."""
    n = sum(lengths)
    done = torch.zeros(n, 1, dtype=torch.bool)
    done[torch.tensor(lengths).cumsum(0) - 1] = True
    data = TensorDict(
        {"x": torch.arange(n), "next": {"done": done, "terminated": done.clone()}, **entries}, [n]
    )
    if ids:
        data["episode"] = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return data


def flags(n):
    return torch.zeros(n, 1, dtype=torch.bool)


def buffer(data, capacity=100, cls=TensorDictReplayBuffer, seed=0, batch_size=8, **kwargs):
    sampler = kwargs.pop("sampler", None) or SliceSampler(**kwargs)
    rb = cls(
        storage=LazyTensorStorage(capacity),
        sampler=sampler,
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(seed),
    )
    if data is not None:
        rb.extend(data)
    return rb


def slices(rb, turns=400):
    return [tuple(rb.sample()["x"].tolist()) for _ in range(turns)]


# ------------------------------------------------------------------ what a batch holds


def test_marks_of_slices():
    data = rows([6], is_init=flags(6))
    data["next", "truncated"] = flags(6)
    rb = buffer(data, slice_len=6, batch_size=6)
    batch = rb.sample()
    assert batch["x"].tolist() == batch["index"].tolist() == [0, 1, 2, 3, 4, 5]
    rb = buffer(data, num_slices=2, capacity=6)
    batch = rb.sample().reshape(2, 4)
    ends = [[False, False, False, True]] * 2
    assert batch["next", "truncated"].squeeze(-1).tolist() == ends
    assert batch["next", "done"].squeeze(-1).tolist() == ends
    # terminated stays what it is, true where the trajectory itself ends
    assert torch.equal(batch["next", "terminated"].squeeze(-1), batch["x"] == 5)
    assert batch["is_init"].squeeze(-1).tolist() == [[True, False, False, False]] * 2
    # nothing was written to the storage
    stored = rb[:]
    assert not stored["is_init"].any()
    assert not stored["next", "truncated"].any()
    assert stored["next", "done"].squeeze(-1).tolist() == [False] * 5 + [True]


def test_marks_that_are_not_stored():
    batch = buffer(TensorDict({"x": torch.arange(9), "episode": torch.zeros(9)}, [9]), slice_len=4)
    batch = batch.sample()
    assert batch["next", "truncated"].flatten().tolist() == [False, False, False, True] * 2
    assert batch["next", "done"].shape == batch["next", "terminated"].shape == (8, 1)
    assert not batch["next", "terminated"].any()
    assert "is_init" not in batch.keys()  # noqa: SIM118


def test_marks_of_a_group():
    data = rows([9])
    data["next", "agents"] = data["next"].clone()
    data["agents"] = TensorDict({"is_init": flags(9)}, [9])
    batch = buffer(
        data,
        slice_len=4,
        end_key=("next", "agents", "done"),
        truncated_key=("next", "agents", "truncated"),
        init_key=("agents", "is_init"),
    ).sample()
    assert (
        batch["next", "agents", "truncated"].flatten().tolist() == [False, False, False, True] * 2
    )
    assert batch["agents", "is_init"].flatten().tolist() == [True, False, False, False] * 2
    assert "truncated" not in batch["next"].keys()  # noqa: SIM118


def test_no_marks():
    data = rows([9], is_init=flags(9))
    batch = buffer(data, slice_len=4, truncated_key=None, init_key=None).sample()
    assert "truncated" not in batch["next"].keys()  # noqa: SIM118
    assert not batch["is_init"].any()


def test_a_plain_buffer_tells_the_marks():
    rb = buffer(rows([9], is_init=flags(9)), cls=ReplayBuffer, slice_len=4)
    batch, info = rb.sample(return_info=True)
    assert set(info) == {
        "index",
        "is_init",
        ("next", "done"),
        ("next", "terminated"),
        ("next", "truncated"),
    }
    assert info["next", "truncated"].flatten().tolist() == [False, False, False, True] * 2
    assert not batch["is_init"].any()


# ---------------------------------------------------------------- how they are drawn


def chi_square(counts, expected):
    """Return the statistic over its 99.9 % bound (Wilson and Hilferty)."""
    statistic = sum((counts.get(k, 0) - e) ** 2 / e for k, e in expected.items())
    degrees = len(expected) - 1
    bound = degrees * (1 - 2 / (9 * degrees) + 3.09 * math.sqrt(2 / (9 * degrees))) ** 3
    assert set(counts) <= set(expected)
    return statistic / bound


def count_starts(rb, turns):
    first = torch.stack([rb.sample()["x"][:1] for _ in range(turns)])
    return dict(zip(*[part.tolist() for part in first.unique(return_counts=True)], strict=True))


def test_uniform_over_trajectories_then_over_starts():
    """As TorchRL draws; trajectories that are too short are left out."""
    rb = buffer(rows([4, 2, 16, 7]), slice_len=4, batch_size=4)
    expected = {0: 1000.0}
    expected |= {6 + i: 1000 / 13 for i in range(13)}
    expected |= {22 + i: 1000 / 4 for i in range(4)}
    assert chi_square(count_starts(rb, 3000), expected) < 1


def test_short_trajectories_are_drawn_whole():
    rb = buffer(rows([2, 16]), slice_len=4, batch_size=4, strict_length=False)
    expected = {0: 1000.0} | {2 + i: 1000 / 13 for i in range(13)}
    assert chi_square(count_starts(rb, 2000), expected) < 1
    assert {len(s) for s in slices(rb)} == {2, 4}


@pytest.mark.parametrize(
    ("span", "left", "right"),
    [(True, 3, 3), ((True, False), 3, 0), ((0, 2), 0, 2), (1, 1, 1), ((False, True), 0, 3)],
)
def test_span(span, left, right):
    rb = buffer(rows([3, 6]), slice_len=4, batch_size=4, span=span)
    wanted = [range(max(s, 3), min(s + 4, 9)) for s in range(3 - left, 6 + right)]
    counts = {}
    for drawn in slices(rb, 2000):
        counts[drawn] = counts.get(drawn, 0) + 1
    assert chi_square(counts, {tuple(w): 2000 / len(wanted) for w in wanted}) < 1


def test_span_over_a_short_trajectory():
    rb = buffer(rows([2]), slice_len=4, batch_size=4, strict_length=False, span=3)
    assert set(slices(rb)) == {(0,), (0, 1), (1,)}


def test_padding():
    data = rows([2, 3], is_init=flags(5))
    rb = buffer(data, slice_len=4, strict_length=False, pad_output=True)
    seen = set()
    for _ in range(20):
        batch = rb.sample()
        assert batch.shape == (8,)
        for piece in batch.split(4):
            mask = piece["collector", "mask"].tolist()
            seen.add((tuple(piece["x"].tolist()), tuple(mask)))
            n = sum(mask)
            assert piece["next", "truncated"].flatten().tolist() == [i == n - 1 for i in range(4)]
            assert piece["is_init"].flatten().tolist() == [True, False, False, False]
    assert seen == {
        ((0, 1, 1, 1), (True, True, False, False)),
        ((2, 3, 4, 4), (True, True, True, False)),
    }


def test_padding_of_whole_slices():
    rb = buffer(rows([9]), slice_len=4, strict_length=False, pad_output=True)
    assert rb.sample()["collector", "mask"].all()


def test_ids_count_before_flags():
    data = rows([5, 5])
    data["collector"] = TensorDict({"traj_ids": torch.tensor([0] * 3 + [1] * 7)}, [10])
    by_ids = {(0, 1, 2), (3, 4, 5), (4, 5, 6), (5, 6, 7), (6, 7, 8), (7, 8, 9)}
    by_ends = {(0, 1, 2), (1, 2, 3), (2, 3, 4), (5, 6, 7), (6, 7, 8), (7, 8, 9)}
    assert set(slices(buffer(data, slice_len=3, batch_size=3))) == by_ids
    end_key = ("next", "done")
    assert set(slices(buffer(data, slice_len=3, batch_size=3, end_key=end_key))) == by_ends
    # an id that is not stored gives way to flags, if both are named
    rb = buffer(data, slice_len=3, batch_size=3, end_key=end_key, traj_key="episode")
    assert set(slices(rb)) == by_ends


def test_any_of_several_flags():
    data = rows([2, 7])
    data["next", "truncated"] = flags(9)
    data["next", "truncated"][5] = True
    keys = [("next", key) for key in ("done", "truncated", "missing")]
    rb = buffer(data, slice_len=3, batch_size=3, end_keys=keys)
    assert set(slices(rb)) == {(2, 3, 4), (3, 4, 5), (6, 7, 8)}


def test_given_boundaries():
    ends = torch.zeros(9, dtype=torch.bool)
    ends[3] = True
    around = {(4, 5, 6), (5, 6, 7), (6, 7, 8), (7, 8, 0), (8, 0, 1), (0, 1, 2), (1, 2, 3)}
    rb = buffer(rows([2, 7]), 9, slice_len=3, batch_size=3, ends=ends, cache_values=True)
    assert set(slices(rb)) == around
    ids = torch.tensor([1] * 4 + [2] * 3 + [1] * 2)
    rb = buffer(rows([2, 7]), 9, slice_len=3, batch_size=3, trajectories=ids)
    assert set(slices(rb)) == {(4, 5, 6), (7, 8, 0), (8, 0, 1), (0, 1, 2), (1, 2, 3)}


def test_the_cursor_cuts():
    """One trajectory of rows 0 .. 13 in a buffer of 10: not from the newest to the oldest."""
    rb = buffer(None, 10, slice_len=3, batch_size=3)
    data = TensorDict({"x": torch.arange(20), "next": {"done": flags(20)}}, [20])
    rb.extend(data[:7])
    assert set(slices(rb)) == {(i, i + 1, i + 2) for i in range(5)}
    rb.extend(data[7:14])
    assert set(slices(rb)) == {(i, i + 1, i + 2) for i in range(4, 12)}
    rb.add(data[14])
    assert set(slices(rb)) == {(i, i + 1, i + 2) for i in range(5, 13)}


def test_a_sampler_that_comes_later_knows_the_cursor():
    rb = buffer(None, 10, slice_len=3, batch_size=3)
    data = TensorDict({"x": torch.arange(20), "next": {"done": flags(20)}}, [20])
    rb.extend(data[:7])
    rb.extend(data[7:14])
    rb.set_sampler(SliceSampler(slice_len=3))
    assert set(slices(rb)) == {(i, i + 1, i + 2) for i in range(4, 12)}


def test_a_storage_that_was_full_from_the_start():
    rb = TensorDictReplayBuffer(
        storage=TensorStorage(rows([4, 4])), sampler=SliceSampler(slice_len=3), batch_size=3
    )
    assert set(slices(rb)) == {(0, 1, 2), (1, 2, 3), (4, 5, 6), (5, 6, 7)}


def test_rows_changed_in_place():
    rb = buffer(rows([6]), slice_len=3, batch_size=3)
    slices(rb, 1)
    row = rb[2:3].exclude("index")
    row["next", "done"][:] = True
    rb[2:3] = row
    assert set(slices(rb)) == {(0, 1, 2), (3, 4, 5)}


@pytest.mark.parametrize(
    "sampler",
    [
        SliceSampler(slice_len=3),
        SliceSamplerWithoutReplacement(slice_len=3),
        PrioritizedSliceSampler(6, alpha=1.0, beta=1.0, slice_len=3),
    ],
)
def test_an_entry_of_all_rows_changed_in_place(sampler):
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(6), sampler=sampler, batch_size=3)
    rb.extend(rows([6]))
    slices(rb, 1)
    done = rb[:]["next", "done"].clone()
    done[2] = True
    rb.set_(("next", "done"), done)
    assert set(slices(rb)) == {(0, 1, 2), (3, 4, 5)}


def test_a_list_of_rows():
    rb = TensorDictReplayBuffer(
        storage=ListStorage(9), sampler=SliceSampler(slice_len=3), batch_size=3
    )
    rb.extend(rows([3, 4]))
    assert set(slices(rb, 100)) == {(0, 1, 2), (3, 4, 5), (4, 5, 6)}
    assert rb.sample()["next", "truncated"].flatten().tolist() == [False, False, True]
    assert not rb._storage.get(0)["next"].get("truncated", flags(1)).any()


# ------------------------------------------------------- any writes, against the truth


class Recorder:
    """Writes trajectories of several envs, with what each row is, and knows which are stored."""

    def __init__(self, envs, capacity, sampler, seed):
        self.envs = envs
        ndim = {"ndim": 2} if envs > 1 else {}
        self.rb = TensorDictReplayBuffer(
            storage=LazyTensorStorage(capacity * envs, **ndim),
            sampler=sampler,
            generator=torch.Generator().manual_seed(seed),
        )
        self.capacity = capacity
        self.now = [(env, 0) for env in range(envs)]
        self.started = envs
        self.times = [[] for _ in range(envs)]  # per env: (id, step) of each row so far

    def write(self, over):
        """Write a row per entry of `over`, [time][env]: whether the trajectory ends there."""
        for flags_of_envs in over:
            for env, end in enumerate(flags_of_envs):
                self.times[env].append(self.now[env])
                number, step = self.now[env]
                self.now[env] = (self.started, 0) if end else (number, step + 1)
                self.started += end
        t = len(over)
        written = torch.tensor([times[-t:] for times in self.times])
        data = TensorDict(
            {
                "id": written[..., 0],
                "step": written[..., 1],
                "is_init": written[..., 1:] == 0,
                "next": {"done": torch.tensor(over).T.unsqueeze(-1)},
            },
            [self.envs, t],
        )
        self.rb.extend(data if self.envs > 1 else data[0])

    def starts(self, length):
        """Return all (id, step) from which `length` rows are stored."""
        found = set()
        for times in self.times:
            live = set(times[-self.capacity :])
            found |= {
                (number, step)
                for number, step in live
                if all((number, step + i) in live for i in range(length))
            }
        return found


MAKERS = {
    "slices": SliceSampler,
    "epochs": SliceSamplerWithoutReplacement,
    "priorities": lambda **kwargs: PrioritizedSliceSampler(40, 0.7, 0.5, **kwargs),
}


@pytest.mark.parametrize("kind", MAKERS)
@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    capacity=st.integers(3, 12),
    envs=st.integers(1, 3),
    length=st.integers(1, 4),
    key=st.sampled_from([{"traj_key": "id"}, {"end_key": ("next", "done")}]),
)
def test_slices_are_pieces_of_trajectories(kind, data, capacity, envs, length, key):
    """Over partial trajectories, wrap-around and several envs; and every start is reached."""
    recorder = Recorder(envs, capacity, MAKERS[kind](slice_len=length, **key), 0)
    for _ in range(data.draw(st.integers(1, 5))):
        count = data.draw(st.integers(1, capacity))
        one = st.integers(0, 4).map(lambda x: x == 0)
        over = st.lists(st.lists(one, min_size=envs, max_size=envs), min_size=count, max_size=count)
        recorder.write(data.draw(over))
        starts = recorder.starts(length)
        if not starts:
            with pytest.raises(RuntimeError, match="No trajectory is long enough"):
                recorder.rb.sample(length)
            continue
        reached = set()
        for _ in range(1000):  # a pass may deal few slices; most draws end after one or two rounds
            batch = recorder.rb.sample(length * 64)
            batch = batch.reshape(-1, length)
            assert (batch["id"] == batch["id"][:, :1]).all()
            assert (batch["step"] == batch["step"][:, :1] + torch.arange(length)).all()
            first = batch[:, 0]
            reached |= set(zip(first["id"].tolist(), first["step"].tolist(), strict=True))
            assert batch["next", "truncated"].sum() == batch["is_init"][:, 0].sum() == len(batch)
            if reached == starts:
                break
        assert reached == starts


# -------------------------------------------------------------------- exact resume


def kit_rows(n):
    """Trajectories of two and three rows, the last of which breaks off."""
    return TensorDict(
        {
            "x": torch.randn(n, 2),
            "is_init": torch.rand(n, 1) < 0.3,
            "next": {"done": (torch.arange(n) % 3 == 1).unsqueeze(-1)},
        },
        [n],
    )


@pytest.mark.parametrize("storage", [LazyTensorStorage, LazyMemmapStorage, ListStorage])
@pytest.mark.parametrize("cls", [ReplayBuffer, TensorDictReplayBuffer])
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("by", [{"slice_len": 2}, {"num_slices": 2, "strict_length": False}])
def test_resume_and_prefetching(storage, cls, kind, by):
    """The four writes of five rows in the kit wrap around."""
    check_buffer(
        lambda generator, prefetch: cls(
            storage=storage(12),
            sampler=MAKERS[kind](**by),
            batch_size=4,
            prefetch=prefetch,
            generator=generator,
        ),
        kit_rows,
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_resume_of_several_envs(kind):
    check_buffer(
        lambda generator, prefetch: TensorDictReplayBuffer(
            storage=LazyTensorStorage(24, ndim=2),
            sampler=MAKERS[kind](slice_len=2),
            batch_size=4,
            prefetch=prefetch,
            generator=generator,
        ),
        lambda n: torch.stack([kit_rows(n), kit_rows(n)]),
    )


# -------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({}, TypeError, "one of the two"),
        ({"num_slices": 2, "slice_len": 2}, TypeError, "one of the two"),
        ({"slice_len": 0}, ValueError, "at least 1"),
        ({"slice_len": 2, "pad_output": True}, ValueError, "Pass `strict_length=False`"),
        ({"slice_len": 2, "span": -1}, ValueError, "at least 0"),
        ({"slice_len": 2, "span": (1, 2, 3)}, ValueError, "or a pair"),
        ({"slice_len": 2, "end_key": "a", "end_keys": ["b"]}, ValueError, "not both"),
        ({"slice_len": 2, "end_keys": "done"}, ValueError, "expected a list"),
        (
            {"slice_len": 2, "ends": torch.ones(2), "trajectories": torch.ones(2)},
            ValueError,
            "not both",
        ),
        ({"slice_len": 2, "ends": torch.ones(2), "traj_key": "a"}, ValueError, "one of the two"),
    ],
)
def test_arguments_that_do_not_fit(kwargs, error, message):
    with pytest.raises(error, match=message):
        SliceSampler(**kwargs)


@pytest.mark.parametrize(("by", "fix"), [("num_slices", "6 or 9"), ("slice_len", "6 or 9")])
def test_a_batch_size_that_is_no_multiple(by, fix):
    with pytest.raises(ValueError, match=rf"no multiple of `{by}=3`. Sample {fix} rows"):
        buffer(rows([9]), **{by: 3}).sample()


@pytest.mark.parametrize("kind", MAKERS)
def test_no_trajectory_is_long_enough(kind):
    rb = buffer(rows([3, 2]), 40, sampler=MAKERS[kind](slice_len=4))
    with pytest.raises(RuntimeError, match=r"have 4 rows, the longest stored trajectory 3\."):
        rb.sample()


def test_rows_that_tell_nothing():
    rb = buffer(TensorDict({"x": torch.arange(5)}, [5]), slice_len=4)
    with pytest.raises(MissingKeyError, match="name yours with `traj_key="):
        rb.sample()


@pytest.mark.parametrize("key", ["traj_key", "end_key"])
def test_a_key_that_is_not_stored(key):
    rb = buffer(rows([9], ids=True), slice_len=4, **{key: "nope"})
    with pytest.raises(MissingKeyError, match="nope"):
        rb.sample()


def test_shapes_of_a_slice_are_those_of_sequences():
    """`reshape` gives time a dimension, whichever way the number of slices was said."""
    for by in ({"num_slices": 4}, {"slice_len": 2}):
        batch = buffer(rows([9, 9]), **by).sample().reshape(4, -1)
        assert (batch["x"].diff(dim=-1) == 1).all()


def test_large_slices_of_one_trajectory():
    rb = buffer(rows([1000]), 1000, slice_len=1000, batch_size=1000)
    assert np.array_equal(rb.sample()["x"], np.arange(1000))


def test_a_buffer_is_freed_at_once():
    """Sampler, storage and writer know each other without keeping each other alive."""
    rb = buffer(rows([9]), slice_len=3, batch_size=3)
    rb.sample()
    gone = weakref.ref(rb.storage)
    gc.disable()
    try:
        del rb
        assert gone() is None
    finally:
        gc.enable()


def test_a_pickled_buffer_goes_on():
    rb = buffer(None, 10, slice_len=3, batch_size=3)
    data = TensorDict({"x": torch.arange(20), "next": {"done": flags(20)}}, [20])
    rb.extend(data[:7])
    rb.extend(data[7:14])
    copy = ForkingPickler.loads(ForkingPickler.dumps(rb))
    copy.extend(data[14:16])
    assert set(slices(copy)) == {(i, i + 1, i + 2) for i in range(6, 14)}


def test_slices_split_and_padded():
    rb = buffer(rows([2, 7]), slice_len=4, strict_length=False)
    batch = rb.sample()
    split = split_trajectories(batch, done_key="truncated")
    assert split.shape == (2, max(len(s) for s in split["mask"]))
    assert torch.equal(split["x"][split["mask"]], batch["x"])
