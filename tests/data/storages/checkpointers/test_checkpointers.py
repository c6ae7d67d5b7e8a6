"""Forms of saving: what is written, and that it comes back bit by bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import CheckpointError, SpecError
from rl.data import (
    CompressedListStorage,
    CompressedListStorageCheckpointer,
    Flat2TED,
    FlatStorageCheckpointer,
    H5Combine,
    H5Split,
    H5StorageCheckpointer,
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    ListStorageCheckpointer,
    Nested2TED,
    NestedStorageCheckpointer,
    StorageEnsemble,
    StorageEnsembleCheckpointer,
    TED2Flat,
    TED2Nested,
    TensorDictReplayBuffer,
    TensorStorageCheckpointer,
)

COMPACT = [FlatStorageCheckpointer, NestedStorageCheckpointer, H5StorageCheckpointer]


def ted(lengths, dtype=torch.float32):
    """Trajectories of these lengths, one after the other, in nested keys too."""
    parts = []
    for number, length in enumerate(lengths):
        obs = (torch.arange(length + 1) + 100 * number).to(dtype)[:, None].expand(-1, 2)
        pos = obs[:, 0] / 2
        done = torch.arange(length) == length - 1
        parts.append(
            TensorDict(
                {
                    "obs": obs[:-1],
                    "agents": {"pos": pos[:-1]},
                    "action": torch.rand(length),
                    "done": torch.zeros(length, 1, dtype=torch.bool),
                    "next": {
                        "obs": obs[1:],
                        "agents": {"pos": pos[1:]},
                        "reward": torch.rand(length, 1),
                        "done": done[:, None],
                    },
                },
                [length],
            )
        )
    return torch.cat(parts)


def same(a, b):
    keys = set(a.keys(True, True))
    assert keys == set(b.keys(True, True))
    for key in keys:
        x, y = (d[key].reshape(-1).clone(memory_format=torch.contiguous_format) for d in (a, b))
        assert x.dtype == y.dtype
        assert torch.equal(x.view(torch.uint8), y.view(torch.uint8)), key


def test_each_observation_is_there_once():
    flat = TED2Flat()(ted([3, 2]))
    assert flat["obs"][:, 0].tolist() == [0, 1, 2, 3, 100, 101, 102]
    assert flat["agents", "pos"].shape == (7,)
    assert flat["ends"].tolist() == [2, 4]
    assert flat["action"].shape == (5,)
    assert ("next", "obs") not in flat.keys(True)
    assert flat["next", "done"].flatten().tolist() == [False, False, True, False, True]


def test_a_trajectory_is_an_entry_of_the_nested_form():
    nested = TED2Nested()(ted([3, 2]))
    assert nested.shape == (2,)
    assert [part.shape[0] for part in nested["obs"].unbind()] == [4, 3]
    assert [part.shape[0] for part in nested["action"].unbind()] == [3, 2]
    split = H5Split()(nested)
    assert split["traj_1", "obs"][:, 0].tolist() == [100, 101, 102]
    same(Nested2TED()(H5Combine()(split)), ted([3, 2]).update(Nested2TED()(nested)))


ROWS = st.lists(
    st.tuples(*[st.sampled_from([0.0, -0.0, 1.0, float("nan")])] * 2), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_anything_comes_back_exactly(rows):
    """Also where no row follows another, where NaN does, and where zeros differ in sign."""
    now, then = torch.tensor(rows).unbind(1)
    data = TensorDict(
        {"x": now, "done": now > 0, "next": {"x": then, "done": then > 0}}, [len(now)]
    )
    same(Flat2TED()(TED2Flat()(data)), data)
    same(Nested2TED()(TED2Nested()(data)), data)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("checkpointer", COMPACT)
def test_round_trip(tmp_path, checkpointer, dtype):
    storage = LazyTensorStorage(20, checkpointer=checkpointer())
    storage.set(range(9), ted([4, 1, 4], dtype))
    other = LazyMemmapStorage(20, checkpointer=checkpointer())
    checkpointer().dumps(storage, tmp_path)
    checkpointer().loads(other, tmp_path)
    same(other[:], storage[:])


@pytest.mark.parametrize("checkpointer", COMPACT)
def test_two_dimensions_are_chained_along_time(tmp_path, checkpointer):
    rows = torch.stack([ted([3, 3]), ted([2, 4])], 1)  # [time, envs]
    storage, other = (LazyTensorStorage(20, ndim=2, checkpointer=checkpointer()) for _ in "ab")
    storage.set(range(6), rows)
    checkpointer().dumps(storage, tmp_path)
    checkpointer().loads(other, tmp_path)
    same(other[:], storage[:])


@pytest.mark.parametrize("cursor", [0, 7])
@pytest.mark.parametrize("checkpointer", COMPACT)
def test_a_buffer_that_wrapped_around(tmp_path, checkpointer, cursor):
    def make():
        return TensorDictReplayBuffer(
            storage=LazyTensorStorage(10), batch_size=4, checkpointer=checkpointer()
        )

    rb, other = make(), make()
    rb.extend(ted([5, 5]))
    if cursor:
        rb.extend(ted([4, 3]))
    rb.dumps(tmp_path)
    other.loads(tmp_path)
    same(other[:], rb[:])
    assert other.writer.cursor == cursor


def test_it_is_smaller(tmp_path):
    def size(name, checkpointer):
        storage = LazyTensorStorage(1000, checkpointer=checkpointer)
        frames = torch.randint(256, (1001, 30, 30), dtype=torch.uint8)
        storage.set(range(1000), TensorDict({"x": frames[:-1], "next": {"x": frames[1:]}}, [1000]))
        checkpointer.dumps(storage, tmp_path / name)
        return sum(f.stat().st_size for f in (tmp_path / name).rglob("*") if f.is_file())

    rows = size("rows", TensorStorageCheckpointer())
    assert size("flat", FlatStorageCheckpointer()) < 0.52 * rows


def test_h5_takes_the_arguments_of_h5py(tmp_path):
    storage = LazyTensorStorage(9000)
    storage.set(range(9000), ted([9000]))
    for name, kwargs in (("plain", None), ("small", {"compression": "gzip"})):
        H5StorageCheckpointer(checkpoint_file="rows.h5", h5_kwargs=kwargs).dumps(
            storage, tmp_path / name
        )
    sizes = [next((tmp_path / n).rglob("rows.h5")).stat().st_size for n in ("plain", "small")]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("checkpointer", COMPACT)
def test_an_empty_storage(tmp_path, checkpointer):
    other = LazyTensorStorage(20)
    other.set(range(5), ted([5]))
    checkpointer().dumps(LazyTensorStorage(20), tmp_path)
    checkpointer().loads(other, tmp_path)
    assert len(other) == 0


@pytest.mark.parametrize("checkpointer", COMPACT)
def test_rows_without_next_raise(tmp_path, checkpointer):
    storage = LazyTensorStorage(5)
    storage.set(range(2), {"x": torch.zeros(2)})
    with pytest.raises(SpecError, match="Save them with another checkpointer"):
        checkpointer().dumps(storage, tmp_path)
    with pytest.raises(SpecError, match="saves tensor storages"):
        checkpointer().dumps(ListStorage(5), tmp_path)


def test_another_form_raises_and_changes_nothing(tmp_path):
    storage = LazyTensorStorage(20)
    storage.set(range(5), ted([5]))
    FlatStorageCheckpointer().dumps(storage, tmp_path)
    before = storage[:].clone()
    with pytest.raises(CheckpointError, match=r"`format` is 'flat', expected 'rows'"):
        TensorStorageCheckpointer().loads(storage, tmp_path)
    assert (storage[:] == before).all()


@pytest.mark.parametrize(
    ("storage", "checkpointer"),
    [
        (ListStorage(3), ListStorageCheckpointer()),
        (CompressedListStorage(3), CompressedListStorageCheckpointer()),
        (StorageEnsemble(ListStorage(3)), StorageEnsembleCheckpointer()),
        (LazyTensorStorage(3), TensorStorageCheckpointer()),
    ],
)
def test_plain_ones_save_their_kind(tmp_path, storage, checkpointer):
    target = storage.storages[0] if isinstance(storage, StorageEnsemble) else storage
    target.set(range(2), torch.tensor([1.0, 2.0]))
    checkpointer.dumps(storage, tmp_path)
    target.empty()
    checkpointer.loads(storage, tmp_path)
    assert [float(target[i]) for i in range(2)] == [1.0, 2.0]
    wrong = LazyMemmapStorage(3) if isinstance(storage, ListStorage) else ListStorage(3)
    with pytest.raises(SpecError, match="Leave `checkpointer` out"):
        checkpointer.dumps(wrong, tmp_path / "other")
