import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core import MissingKeyError, RLError, ShapeError, SpecError
from rl.data import LazyTensorStorage, NextStateReconstructor, ReplayBuffer, TensorDictReplayBuffer


def compact(stream, done, **kwargs):
    """Return a stream without next observations, with the ids of its trajectories."""
    data = stream(done, **kwargs)
    ends = data["next", "done"].squeeze(-1).cumsum(-1)
    ids = torch.cat([torch.zeros_like(ends[..., :1]), ends[..., :-1]], -1)
    data["collector", "traj_ids"] = ids
    return data.exclude(("next", "observation"))


def read(data):
    values = data["next", "observation"].flatten().tolist()
    return [None if v != v else v for v in values]


def buffer(size=20, ndim=1, **kwargs):
    return TensorDictReplayBuffer(
        storage=LazyTensorStorage(size, ndim=ndim),
        transform=NextStateReconstructor(**kwargs),
        batch_size=32,
    )


def test_by_hand(stream):
    data = compact(stream, [0, 0, 1, 0, 0])
    assert read(NextStateReconstructor()(data.copy())) == [1, 2, None, 4, None]
    rb = buffer()
    rb.extend(data)
    assert read(rb[:]) == [1, 2, None, 4, None]


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 4))
def test_random_transitions_after_wrap_around(stream, done, chunk):
    rb, data = buffer(7), compact(stream, done)
    for start in range(0, len(done), chunk):
        rb.extend(data[start : start + chunk])
        batch = rb.sample()
        newest = rb.storage[:]["observation"].max()
        for row in batch:
            t = row["observation"].item()
            known = not done[int(t)] and t < newest
            assert read(row) == [t + 1 if known else None]


def test_several_envs(stream):
    rb = buffer(ndim=2)
    rb.extend(compact(stream, [[0, 1, 0], [0, 0, 0]]))
    assert read(rb[:]) == [1, None, None, 1, 2, None]
    batch = rb.sample()
    for row in batch:
        t, env = row["index"].tolist()
        assert read(row) == [None if t == 2 or (env, t) == (0, 1) else t + 1]


def test_step_count(stream):
    """Rows of one trajectory that do not follow each other."""
    data = compact(stream, [0, 0, 0])
    data["step_count"] = torch.tensor([[0], [1], [5]])
    assert read(NextStateReconstructor(step_count_key="step_count")(data)) == [1, None, None]
    rb = buffer(step_count_key="step_count")
    rb.extend(data.exclude(("next", "observation")))
    assert read(rb[:]) == [1, None, None]


def test_integers_need_a_filler(stream):
    data = compact(stream, [0, 1])
    data["observation"] = data["observation"].to(torch.uint8)
    with pytest.raises(SpecError, match="pass `fill_value=0`"):
        NextStateReconstructor()(data.copy())
    assert read(NextStateReconstructor(fill_value=0)(data.copy())) == [1, 0]
    # the batch may have no unknown state
    rb = buffer()
    rb.extend(data)
    assert rb[:1]["next", "observation"].dtype is torch.uint8


def test_bad_input(stream):
    data = compact(stream, [0, 1])
    with pytest.raises(MissingKeyError, match="pass `strict=False`"):
        NextStateReconstructor(["pixels"])(data.copy())
    assert NextStateReconstructor(["pixels"], strict=False)(data.copy()).keys() == data.keys()
    with pytest.raises(MissingKeyError, match="traj_ids"):
        NextStateReconstructor()(data.exclude("collector"))
    with pytest.raises(SpecError, match="give `traj_key` or `done_key`"):
        NextStateReconstructor(traj_key=None, done_key=None)
    with pytest.raises(ShapeError, match="flatten it"):
        NextStateReconstructor()(compact(stream, [[0, 1]]))
    rb = ReplayBuffer(
        storage=LazyTensorStorage(5), transform=NextStateReconstructor(), batch_size=2
    )
    rb.extend(data)
    with pytest.raises(MissingKeyError, match="use a `TensorDictReplayBuffer`"):
        rb.sample()
    with pytest.raises(RLError, match="reads the row that follows"):
        NextStateReconstructor().transform_output_spec(None)
