import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import ShapeError, SpecError
from rl.data import (
    ImmutableDatasetWriter,
    LazyTensorStorage,
    OfflineToOnlineReplayBuffer,
    ReplayBuffer,
    TensorDictReplayBuffer,
    prefill_replay_buffer,
    register_dataset,
)


def dataset(n=50, cls=TensorDictReplayBuffer):
    rb = cls(storage=LazyTensorStorage(n))
    rb.extend(TensorDict({"x": torch.arange(n)}, [n]))
    rb.set_writer(ImmutableDatasetWriter())
    return rb


def make(fraction=0.25, **kwargs):
    return OfflineToOnlineReplayBuffer(
        dataset(), online_capacity=100, offline_fraction=fraction, batch_size=8, **kwargs
    )


def online(n):
    return TensorDict({"x": torch.arange(n) + 1000}, [n])


def test_each_batch_has_the_fraction():
    rb = make()
    assert (rb.sample()["x"] < 1000).all(), "nothing is online yet"
    rb.extend(online(20))
    assert len(rb) == 70
    for _ in range(5):
        assert (rb.sample()["x"] < 1000).tolist() == [True] * 2 + [False] * 6
    batch, info = rb.sample(7, return_info=True)
    assert batch.shape == (7,)
    assert torch.equal(info["online"]["index"] + 1000, batch["x"][2:])


def test_annealing():
    rb = make(0.5)
    rb.extend(online(20))
    counts = []
    for step in (0, 5, 10, 12):
        rb.anneal(step, 10)
        counts.append(int((rb.sample()["x"] < 1000).sum()))
    assert counts == [4, 2, 0, 0]


def test_save_and_load(tmp_path):
    rb, other = make(), make()
    rb.extend(online(20))
    rb.dumps(tmp_path)
    other.loads(tmp_path)
    assert len(other) == 70
    third = make()
    third.load_state_dict(rb.state_dict())
    assert torch.equal(third.online_buffer[:]["x"], rb.online_buffer[:]["x"])


def test_a_transform_of_the_whole_batch():
    rb = make(transform=lambda td: td.set("y", -td["x"]))
    rb.extend(online(3))
    batch = rb.sample()
    assert torch.equal(batch["y"], -batch["x"])


def test_bad_input():
    with pytest.raises(TypeError, match="one of them"):
        OfflineToOnlineReplayBuffer(dataset())
    with pytest.raises(TypeError, match="expected a buffer"):
        OfflineToOnlineReplayBuffer(torch.zeros(3), online_capacity=3)
    with pytest.raises(ValueError, match=r"expected it in \(0, 1\)"):
        make(1.0)
    rb = make()
    rb.extend(online(5).set("extra", torch.zeros(5)))
    with pytest.raises(SpecError, match="`extra` is in the online rows only"):
        rb.sample()
    with pytest.raises(RuntimeError, match="Pass `batch_size="):
        OfflineToOnlineReplayBuffer(dataset(), online_capacity=3).sample()
    with pytest.raises(ValueError, match="expected 0 or more"):
        rb.anneal(-1, 3)


@pytest.mark.parametrize("cls", [ReplayBuffer, TensorDictReplayBuffer])
def test_prefill(cls):
    rb = cls(storage=LazyTensorStorage(40))
    assert prefill_replay_buffer(rb, dataset(), n_samples=10, chunk_size=4) is rb
    assert rb[:]["x"].tolist() == list(range(10))
    assert "index" not in rb.storage[:].keys()  # noqa: SIM118 (a TensorDict)
    with pytest.raises(ShapeError, match="Pass a smaller `n_samples`"):
        prefill_replay_buffer(rb, dataset())
    with pytest.raises(ShapeError, match="has 50"):
        prefill_replay_buffer(ReplayBuffer(storage=LazyTensorStorage(99)), dataset(), 60)
    with pytest.raises(ValueError, match="expected above 0"):
        prefill_replay_buffer(rb, dataset(), 3, chunk_size=0)


def test_a_data_set_may_be_named():
    register_dataset("here", lambda name, n: dataset(n), replace=True)
    rb = OfflineToOnlineReplayBuffer("here:toy", online_capacity=9, batch_size=4, n=20)
    assert len(rb) == 20
    assert (rb.sample()["x"] < 20).all()
    with pytest.raises(TypeError, match="pass it where the buffer is built"):
        OfflineToOnlineReplayBuffer(dataset(), online_capacity=9, n=20)
