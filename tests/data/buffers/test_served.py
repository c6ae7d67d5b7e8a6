import multiprocessing
import os
import pickle
import signal
import time
from functools import partial

import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import NotRegisteredError, RLError, WorkerError
from rl.core.services import Service, service_backend
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    ReplayBuffer,
    ReplayBufferClient,
    ReplayBufferService,
    TensorDictPrioritizedReplayBuffer,
    TensorDictReplayBuffer,
)

# forks are quick; the default, spawn, has a test of its own
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
FORK = {"service_backend": "process", "service_backend_options": {"mp_context": "fork"}}
BACKENDS = {
    "thread": {"service_backend": "thread"},
    "process": FORK,
}


def prioritized(size=100, **kwargs):
    storage = partial(LazyTensorStorage, size)
    return TensorDictPrioritizedReplayBuffer(
        alpha=1.0, beta=1.0, storage=storage, batch_size=4, priority_key=("agent", "p"), **kwargs
    )


def rows(*values):
    x = torch.tensor(values)
    return TensorDict({"x": x, "next": {"y": 2 * x}}, [len(values)])


@pytest.fixture(params=BACKENDS)
def buffer(request):
    with ReplayBufferService(prioritized, **BACKENDS[request.param]) as buffer:
        yield buffer


def test_everything_a_client_does(buffer):
    client = buffer.client()
    assert type(client) is ReplayBufferClient
    assert not client.can_sample(1)
    assert client.extend(rows(0, 1, 2)).tolist() == [0, 1, 2]
    assert client.add(rows(3)[0]) == 3
    assert (len(client), client.batch_size, client.write_count) == (4, 4, 4)
    client.update_priority(torch.tensor([0, 1, 2, 3]), torch.tensor([0.0, 0.0, 1.0, 0.0]))
    batch, info = client.sample(return_info=True)
    assert batch["x"].tolist() == batch["index"].tolist() == [2] * 4
    assert batch["next", "y"].tolist() == [4] * 4
    assert batch.batch_size == torch.Size([4])
    assert torch.equal(info["priority_weight"], batch["priority_weight"])
    batch["agent"] = TensorDict({"p": torch.zeros(4)}, [4])
    client.update_tensordict_priority(batch)
    client.update_priority(0, 1.0)
    assert set(client.sample(64)["x"].tolist()) == {0}


def test_errors_come_with_the_fix_of_the_buffer(buffer):
    client = buffer.client()
    with pytest.raises(RuntimeError, match="`buffer` failed in `sample`"):
        client.sample()
    client.extend(rows(0))
    with pytest.raises(WorkerError, match=r"SpecError.*extra"):
        client.extend(rows(0).set("extra", torch.zeros(1)))
    with pytest.raises(WorkerError, match=r"MissingKeyError.*'agent', 'p'"):
        client.update_tensordict_priority(client.sample())
    with pytest.raises(WorkerError, match="`storage` is not for clients"):
        client._remote.call("attribute", "storage")
    assert len(client) == 1


def test_clients_do_not_empty_or_end_it(buffer):
    client = buffer.client()
    for call in ("empty", "shutdown", "loads", "_fetch"):
        assert not hasattr(client, call)
        with pytest.raises(WorkerError, match=f"`{call}`"):
            client._remote.call(call)
    client.close()
    client.extend(rows(1, 2))
    buffer.empty()
    assert (len(client), buffer.write_count) == (0, 0)


def test_the_owner_saves_and_loads(buffer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer.extend(rows(5, 6))
    state = buffer.state_dict()
    buffer.dumps("saved")
    buffer.empty()
    buffer.loads("saved")
    assert sorted(set(buffer.sample(64)["x"].tolist())) == [5, 6]
    local = prioritized()
    local.load_state_dict(state)
    assert local[:]["x"].tolist() == [5, 6]
    buffer.empty()
    buffer.load_state_dict(local.state_dict())
    assert len(buffer) == 2


def test_it_samples_as_the_buffer_would():
    def seeded():
        return prioritized(generator=torch.Generator().manual_seed(3))

    local = seeded()
    with ReplayBufferService(seeded, **FORK) as served:
        for each in (local, served):
            each.extend(rows(*range(50)))
        for _ in range(3):
            assert served.sample()["x"].tolist() == local.sample()["x"].tolist()


@pytest.mark.parametrize("storage", [ListStorage, LazyTensorStorage, LazyMemmapStorage])
def test_storages(storage):
    make = partial(TensorDictReplayBuffer, storage=partial(storage, 10), batch_size=8)
    with ReplayBufferService(make, **FORK) as buffer:
        buffer.extend(rows(7, 8))
        batch = buffer.sample()
        assert type(batch) is TensorDict
        assert set(batch["x"].tolist()) <= {7, 8}


def test_items_of_any_kind():
    with ReplayBufferService(partial(ReplayBuffer, batch_size=3), **FORK) as buffer:
        buffer.extend(["a", "a"])
        assert buffer.sample() == ["a"] * 3
        with pytest.raises(TypeError, match="Field `args/0/0` is a set"):
            buffer.extend([{1}])


def write(client, writer):
    for start in range(0, 80, 8):
        client.extend(rows(*range(1000 * writer + start, 1000 * writer + start + 8)))


def test_several_processes_write_while_one_samples():
    storage = partial(LazyTensorStorage, 1000)
    make = partial(
        TensorDictPrioritizedReplayBuffer, alpha=1.0, beta=1.0, storage=storage, batch_size=32
    )
    context = multiprocessing.get_context("spawn")
    with ReplayBufferService(make, service_backend="process") as buffer:
        client = buffer.client()
        writers = [context.Process(target=write, args=(client, i)) for i in range(3)]
        for writer in writers:
            writer.start()
        draws = 0
        deadline = time.monotonic() + 200
        while any(writer.is_alive() for writer in writers):
            assert time.monotonic() < deadline
            if not client.can_sample(32):
                time.sleep(0.01)
                continue
            batch = client.sample()
            assert torch.equal(batch["next", "y"], 2 * batch["x"])
            client.update_priority(batch["index"], torch.rand(32) + 0.1)
            draws += 1
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert draws > 0
        assert len(client) == client.write_count == 240
        state = buffer.state_dict()
    local = make()
    local.load_state_dict(state)
    written = local[:]["x"]
    assert sorted(written.tolist()) == [1000 * i + j for i in range(3) for j in range(80)]
    for writer in range(3):  # each writer's rows are in its order
        own = written[written // 1000 == writer]
        assert torch.equal(own, own.sort().values)


def sample_until_gone(client, told):
    try:
        while True:
            client.sample()
    except WorkerError as error:
        told.put((str(error), time.time()))


def test_a_killed_buffer_is_told_to_all_within_5_s():
    context = multiprocessing.get_context("fork")
    buffer = ReplayBufferService(prioritized, **FORK)
    buffer.extend(rows(1, 2))
    told = context.Queue()
    workers = [
        context.Process(target=sample_until_gone, args=(buffer.client(), told)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    time.sleep(0.3)
    start = time.time()
    os.kill(buffer._remote.pid, signal.SIGKILL)
    for _ in workers:
        message, at = told.get(timeout=20)
        assert "Service `buffer` is gone" in message
        assert at - start < 5
    with pytest.raises(WorkerError, match="is gone"):
        buffer.sample()
    for worker in workers:
        worker.join(10)
    with pytest.raises(WorkerError, match="is gone"):
        buffer.shutdown()
    assert not buffer.is_alive


def test_it_is_a_service():
    with service_backend("thread"):
        buffer = ReplayBufferService(prioritized)
    assert isinstance(buffer, Service)
    assert buffer.service_backend == "thread"
    assert buffer.start() is buffer
    assert buffer.is_alive
    with pytest.raises(RLError, match=r"give workers `buffer\.client\(\)`"):
        pickle.dumps(buffer)
    buffer.shutdown()
    assert not buffer.is_alive
    buffer.shutdown()


def test_mistakes_raise():
    with pytest.raises(TypeError, match=r"functools\.partial\(ReplayBuffer"):
        ReplayBufferService(prioritized(), service_backend="thread")
    with pytest.raises(WorkerError, match="made a list, expected a `ReplayBuffer`"):
        ReplayBufferService(list, service_backend="thread")
    with pytest.raises(NotRegisteredError, match="Did you mean `process`"):
        ReplayBufferService(prioritized, service_backend="proces")
    with pytest.raises(NotRegisteredError, match="make the object itself"):
        ReplayBufferService(prioritized, service_backend="direct")


def test_a_client_may_be_less_patient():
    with ReplayBufferService(prioritized, service_backend="thread") as buffer:
        assert buffer.client().with_timeout(2.0)._remote.timeout == 2.0
