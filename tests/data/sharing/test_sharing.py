"""Several processes on one buffer."""

import multiprocessing
import os
import signal
import time

import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import SpecError, WorkerError
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    ReplayBuffer,
    ReplayBufferEnsemble,
    RoundRobinWriter,
    SamplerWithoutReplacement,
    SliceSampler,
    TensorDictMaxValueWriter,
    TensorDictReplayBuffer,
)
from rl.data.storages.columns import Columns
from rl.data.testing import check_history

# processes that start quickly: the server has imported what they need
FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(["torch", "tensordict", "rl.data"])
CAPACITY = 2000

STORAGES = {
    "memmap": lambda size=CAPACITY: LazyMemmapStorage(size),
    "memory": lambda size=CAPACITY: LazyTensorStorage(size, shared_init=True),
}


def checksummed(writer, start, n):
    """Rows of which each tells who wrote it, and a sum that a torn row would not have."""
    number = torch.arange(start, start + n)
    payload = (number[:, None] * 31 + torch.arange(64) * 7 + writer) % 1009
    total = payload.sum(1) + 5 * number + 11 * writer
    return TensorDict(
        {
            "payload": payload,
            "next": {"number": number, "sum": total},
            "writer": torch.full((n,), writer),
        },
        [n],
    )


def assert_whole(batch):
    wanted = batch["payload"].sum(1) + 5 * batch["next", "number"] + 11 * batch["writer"]
    assert torch.equal(batch["next", "sum"], wanted), "a torn row"


def write_until(rb, writer, stop, written, n=16):
    start = 0
    while not stop.is_set():
        rb.extend(checksummed(writer, start, n))
        start += n
        written[writer] = start


def make(storage="memmap", **kwargs):
    return TensorDictReplayBuffer(storage=STORAGES[storage](), batch_size=64, shared=True, **kwargs)


def run_writers(rb, seconds, writers=4):
    """Write in processes and sample here; return rows written and batches drawn."""
    stop, written = FRESH.Event(), FRESH.Array("q", writers, lock=False)
    workers = [
        FRESH.Process(target=write_until, args=(rb, i, stop, written)) for i in range(writers)
    ]
    for worker in workers:
        worker.start()
    batches = 0
    try:
        while not all(written):
            time.sleep(0.01)
            assert all(worker.exitcode is None for worker in workers)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert_whole(rb.sample())
            batches += 1
    finally:
        stop.set()
        for worker in workers:
            worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * writers, "a writer hung or failed"
    assert rb.write_count == sum(written), "rows were lost, or counted twice"
    assert_whole(rb[:])
    return sum(written), batches


@pytest.mark.parametrize("storage", STORAGES)
def test_four_writers_and_a_sampler(storage):
    rb = make(storage)
    written, batches = run_writers(rb, 1.5)
    assert written > CAPACITY, "nothing was overwritten: the test shows little"
    assert batches > 10
    assert set(rb[:]["writer"].tolist()) == {0, 1, 2, 3}


@pytest.mark.slow
def test_four_writers_and_a_sampler_for_a_minute():
    start = time.monotonic()
    written, batches = run_writers(make(), 60.0)
    seconds = time.monotonic() - start
    assert written > 100 * CAPACITY
    assert batches > 1000
    # what the run is for
    print(f"{written / seconds:.0f} rows/s written, {batches * 64 / seconds:.0f} rows/s sampled")  # noqa: T201


def extend_once(rb, rows):
    rb.extend(rows)


def in_process(function, *args, context=FRESH):
    worker = context.Process(target=function, args=args)
    worker.start()
    worker.join(60)
    return worker


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_rows_of_another_process_are_heard(method):
    rb = make()
    context = multiprocessing.get_context(method)
    # the other process lays the columns out
    assert in_process(extend_once, rb, checksummed(1, 0, 5), context=context).exitcode == 0
    assert len(rb) == 5
    assert rb[:]["next", "number"].tolist() == [0, 1, 2, 3, 4]
    rb.extend(checksummed(2, 5, 3))
    assert rb.write_count == 8
    assert rb.stats()["size"] == 8


def test_priorities_and_passes_hear_of_other_writers():
    rb = make(sampler=PrioritizedSampler(CAPACITY, 1.0, 1.0))
    rb.extend(checksummed(0, 0, 4))
    rb.update_priority(torch.arange(4), torch.tensor([0.0, 0.0, 0.0, 9.0]))
    in_process(extend_once, rb, checksummed(1, 4, 4))
    # the new rows have the highest priority, like row 3; the others next to none
    assert set(rb.sample(500)["next", "number"].tolist()) == {3, 4, 5, 6, 7}
    epochs = make(sampler=SamplerWithoutReplacement())
    epochs.extend(checksummed(0, 0, 40))
    epochs.sample(30)
    in_process(extend_once, epochs, checksummed(1, 40, 10))
    seen = torch.cat([batch["next", "number"] for batch in epochs])
    assert sorted(seen.tolist()) == list(range(50))


def test_slices_hear_of_other_writers():
    rb = make(sampler=SliceSampler(slice_len=4, traj_key="writer"))
    rb.extend(checksummed(0, 0, 6))
    rb.sample(4)
    in_process(extend_once, rb, checksummed(1, 100, 5))
    slices = rb.sample(400).reshape(100, 4)
    assert_whole(slices.reshape(-1))
    assert slices["next", "number"].diff(dim=1).eq(1).all()
    assert set(slices["writer"].unique().tolist()) == {0, 1}


def test_prefetched_batches_are_not_older_than_a_write():
    rb = make(prefetch=3)
    rb.extend(checksummed(0, 0, 10))
    for _ in range(6):
        rb.sample()
    in_process(extend_once, rb, checksummed(1, 0, CAPACITY))
    assert set(rb.sample()["writer"].tolist()) == {1}
    rb.shutdown()


def test_emptying_is_heard():
    rb = make()
    rb.extend(checksummed(0, 0, 10))
    in_process(empty, rb)
    assert len(rb) == 0
    with pytest.raises(RuntimeError, match="empty"):
        rb.sample()
    rb.extend(checksummed(1, 0, 3))
    assert set(rb.sample()["writer"].tolist()) == {1}


def empty(rb):
    rb.empty()


class Killed(Columns):
    """Columns whose process dies when half of the leaves are written."""

    def write(self, cursor, leaves):
        for tensor, leaf in list(zip(self.tensors, leaves, strict=True))[:2]:
            tensor[cursor.start : cursor.stop] = leaf
        os.kill(os.getpid(), signal.SIGKILL)


def die_in_a_write(rb, rows):
    with rb._lock:  # so that the columns are there
        pass
    Columns.write = Killed.write
    rb.extend(rows)


def test_a_writer_killed_in_a_write_has_not_written():
    rb = make()
    rb.extend(checksummed(0, 0, CAPACITY))
    before = rb[:].clone()
    worker = in_process(die_in_a_write, rb, checksummed(9, 0, 200))
    assert worker.exitcode == -signal.SIGKILL
    assert (rb[:] == before).all()
    assert rb.stats()["undone_writes"] == 1
    rb.extend(checksummed(3, 0, 100))
    assert_whole(rb[:])
    assert rb[:100]["writer"].unique().tolist() == [3]
    assert 9 not in rb[:]["writer"]


def test_a_writer_killed_before_the_first_row_leaves_an_empty_buffer():
    rb = make()
    assert in_process(die_in_a_write, rb, checksummed(9, 0, 20)).exitcode == -signal.SIGKILL
    assert len(rb) == 0
    rb.extend(checksummed(1, 0, 3))
    assert_whole(rb[:])


def test_kills_at_any_moment_tear_nothing():
    rb = make()
    rb.extend(checksummed(0, 0, CAPACITY))
    for round_ in range(4):
        stop, written = FRESH.Event(), FRESH.Array("q", 8, lock=False)
        worker = FRESH.Process(target=write_until, args=(rb, 5, stop, written, 500))
        worker.start()
        while not written[5]:
            time.sleep(0.005)
        time.sleep(0.003 * round_)
        worker.kill()
        worker.join(30)
        assert_whole(rb[:])
        rb.extend(checksummed(1, 0, 7))
        assert_whole(rb.sample(500))


def hold(rb, held):
    with rb._lock:
        held.set()
        time.sleep(60)


def test_a_process_that_keeps_the_buffer_makes_others_raise():
    rb = TensorDictReplayBuffer(
        storage=LazyMemmapStorage(10), batch_size=2, shared=True, shared_timeout_s=0.3
    )
    rb.extend(checksummed(0, 0, 4))
    held = FRESH.Event()
    worker = FRESH.Process(target=hold, args=(rb, held))
    worker.start()
    assert held.wait(60)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=f"Process {worker.pid} has kept the shared buffer"):
        rb.sample()
    assert time.monotonic() - start < 5
    worker.kill()
    worker.join(30)
    assert_whole(rb.sample())  # the system took the lock back


def test_a_write_that_raises_changes_nothing():
    rb = make()
    rb.extend(checksummed(0, 0, 5))
    before = rb[:].clone()
    with pytest.raises(SpecError, match="extra"):
        rb.extend(checksummed(1, 0, 2).set("extra", torch.zeros(2)))
    assert (rb[:] == before).all()
    rb.extend(checksummed(1, 0, 2))
    assert len(rb) == 7


def test_saving_and_loading(tmp_path):
    rb = make()
    rb.extend(checksummed(0, 0, 30))
    rb.dumps(tmp_path)
    other = make()
    other.extend(checksummed(1, 0, 50))
    other.loads(tmp_path)
    assert len(other) == 30
    assert (other[:] == rb[:]).all()
    in_process(extend_once, other, checksummed(2, 0, 1))
    assert other[30]["writer"] == 2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"storage": ListStorage(5)}, "shared_init=True"),
        ({"storage": LazyTensorStorage(5)}, "shared_init=True"),
        ({"writer": TensorDictMaxValueWriter("x")}, "use a `RoundRobinWriter`"),
        ({"writer": RoundRobinWriter(track_generations=True)}, "use a `RoundRobinWriter`"),
        ({"consume_after_n_samples": 1}, "leave it out"),
        ({"delayed_init": True}, "leave `delayed_init` out"),
    ],
)
def test_what_cannot_be_shared_raises(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ReplayBuffer(**{"storage": LazyMemmapStorage(5), "shared": True, **kwargs})


def test_what_would_tear_rows_raises():
    rb = make(sampler=PrioritizedSampler(CAPACITY, 1.0, 1.0))
    rb.extend(checksummed(0, 0, 5))
    with pytest.raises(RuntimeError, match="Write with `add` and `extend`"):
        rb[0] = checksummed(1, 0, 1)[0]
    with pytest.raises(RuntimeError, match="Write with `add` and `extend`"):
        rb.set_("payload", torch.zeros(5, 64))
    with pytest.raises(RuntimeError, match="set priorities there"):
        rb.extend(checksummed(1, 0, 2).set("td_error", torch.ones(2)))
    with pytest.raises(RuntimeError, match="stays shared"):
        rb.share(False)


def test_a_folder_of_another_buffer_raises(tmp_path):
    LazyMemmapStorage(5, scratch_dir=tmp_path).set(0, {"x": torch.zeros(1)})
    with pytest.raises(FileExistsError, match="existsok=True"):
        ReplayBuffer(storage=LazyMemmapStorage(5, scratch_dir=tmp_path), shared=True)


def test_the_files_go_with_their_maker():
    rb = make("memory")
    rb.extend(checksummed(0, 0, 3))
    folder = rb.storage.files.folder
    in_process(extend_once, rb, checksummed(1, 0, 3))
    assert folder.exists(), "a process that only used the buffer removed it"
    del rb
    assert not folder.exists()


def test_an_ensemble_of_shared_buffers_hears_too():
    first = make(sampler=SamplerWithoutReplacement(shuffle=False))
    second = make()
    rb = ReplayBufferEnsemble(first, second, sample_from_all=True, batch_size=8)
    for member in rb[:]._members:
        in_process(extend_once, member, checksummed(1, 0, 4))
    batch = rb.sample()
    assert batch["next", "number"][0].tolist() == [0, 1, 2, 3]
    assert_whole(batch.flatten())


def grid(n):
    return TensorDict({"x": torch.arange(3 * n).reshape(3, n)}, [3, n])


def test_two_dimensions():
    def build():
        return TensorDictReplayBuffer(
            storage=LazyMemmapStorage(30, ndim=2), batch_size=4, shared=True
        )

    rb = build()
    in_process(extend_once, rb, grid(4))
    assert len(rb) == 12, "the other process laid the columns out"
    assert rb.sample()["index"].shape == (4, 2)
    check_history(build, grid, [("extend", 6), ("extend", 7), ("sample", 9), ("reload", 0)])
