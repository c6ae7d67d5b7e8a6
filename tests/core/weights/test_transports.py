"""The two transports, their layout in memory, and peers."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from tensordict import TensorDict
from torch import nn

from rl.core import NotRegisteredError, RLError, WorkerError
from rl.core.weights import (
    InitialSyncTransport,
    MPTransport,
    NoWeightSyncScheme,
    SharedMemTransport,
    SharedMemWeightSyncScheme,
    TransportBackend,
    WeightsError,
    WeightStrategy,
    WeightSyncScheme,
)
from rl.core.weights.board import Board
from rl.core.weights.model_path import find_model
from rl.core.weights.packing import Layout
from rl.core.weights.peer import Peer, wait_until

CONTEXT = multiprocessing.get_context("spawn")
DTYPES = [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*DTYPES, torch.complex64, torch.float8_e4m3fn]),
            st.lists(st.integers(0, 3), max_size=3),
        ),
        max_size=5,
    )
)
def test_packing_is_lossless(kinds):
    torch.manual_seed(0)
    weights = TensorDict({str(i): (torch.randn(s) * 3).to(d) for i, (d, s) in enumerate(kinds)})
    layout = Layout.of(weights)
    got = layout.unpack(layout.pack(weights))
    assert set(got.keys()) == set(weights.keys())
    for name, value in weights.items():
        assert got[name].dtype == value.dtype
        assert got[name].shape == value.shape
        assert torch.equal(got[name].view(-1).view(torch.uint8), value.view(-1).view(torch.uint8))


def test_sparse_weights_are_refused():
    with pytest.raises(WeightsError, match="make it dense"):
        Layout.of(TensorDict({"a": torch.eye(2).to_sparse()}))


def stamp(value, version):
    return WeightStrategy().stamp({"a": torch.full((1000,), float(value))}, version)


@pytest.fixture(params=["shared", "queue"])
def transport(request):
    if request.param == "shared":
        yield SharedMemTransport(stamp(0, 0), timeout=1.0)
        return
    made = MPTransport(CONTEXT.Queue(4), timeout=1.0)
    yield made
    made.close()


def test_a_transport_gives_the_newest_once(transport):
    assert isinstance(transport, TransportBackend)
    assert transport.receive_weights(timeout=0.0) is None
    transport.send_weights(stamp(1, 1))
    transport.send_weights(stamp(2, 2))
    wait_until(lambda: False, 0.2)
    got = transport.receive_weights()
    assert (got.version, got.tensordict["a"][0]) == (2, 2)
    assert transport.receive_weights(timeout=0.05) is None


def test_a_transport_fills_what_it_is_given(transport):
    source, module = nn.Linear(31, 31), nn.Linear(31, 31)
    other = WeightStrategy().extract_weights(nn.Linear(31, 31))
    weights = WeightStrategy().stamp(source, 1)
    shared = isinstance(transport, SharedMemTransport)
    transport = SharedMemTransport(weights) if shared else transport
    transport.send_weights(weights)
    transport.receive_weights(model=module, weights=other)
    assert torch.equal(module.weight, source.weight)
    assert torch.equal(other["bias"], source.bias)


def test_what_is_sent_does_not_follow_training(transport):
    tensor = torch.zeros(1000)
    transport.send_weights(WeightStrategy().stamp({"a": tensor}, 1))
    tensor += 1
    assert transport.receive_weights().tensordict["a"].sum() == 0


def test_acknowledgments():
    transport = MPTransport(CONTEXT.Queue(4), CONTEXT.Queue(4), timeout=0.3)
    assert isinstance(transport, InitialSyncTransport)
    with pytest.raises(WorkerError, match=r"version 1 within 0.3 s: does the receiver call"):
        transport.send_weights(stamp(1, 1))
    transport.timeout = 5.0
    thread = threading.Thread(target=lambda: [transport.receive_weights() for _ in range(2)])
    thread.start()
    transport.send_weights(stamp(2, 2))
    transport.send_weights_async(stamp(3, 3))
    thread.join(10)
    transport.close()


def test_a_queue_that_nobody_empties():
    transport = MPTransport(CONTEXT.Queue(1), timeout=0.2)
    transport.send_weights(stamp(1, 1))
    with pytest.raises(WorkerError, match=r"takes no weights: the queue is full for 0.2 s"):
        transport.send_weights(stamp(2, 2))
    transport.close()


@pytest.mark.parametrize("word", ["begin", "end"])
def test_an_update_that_is_being_written_is_not_read(word):
    transport = SharedMemTransport(stamp(0, 0))
    transport.send_weights(stamp(1, 1))
    transport.send_weights(stamp(2, 2))
    # the writer was killed, or goes on, in the slot of the newest update
    transport._marks[0, 0 if word == "begin" else 1] = 4
    assert transport.receive_weights(timeout=0.05) is None
    transport.send_weights(stamp(3, 3))
    assert transport.receive_weights().version == 3


def test_a_writer_that_is_killed_leaves_the_last_update_whole():
    transport = SharedMemTransport(stamp(0, 0))
    transport.send_weights(stamp(1, 1))

    class KilledError(Exception):
        pass

    class Dies:
        def pack(self, tensordict, out):
            out[: len(out) // 2] = 255
            raise KilledError

        unpack = transport._layout.unpack
        num_bytes = transport._layout.num_bytes

    whole, transport._layout = transport._layout, Dies()
    with pytest.raises(KilledError):
        transport.send_weights(stamp(2, 2))
    transport._layout = whole
    got = transport.receive_weights()
    assert got.version == 1
    assert got.tensordict["a"].unique().tolist() == [1]


def test_extra_state_in_shared_memory_has_an_end(counter):
    module = counter(1)
    transport = SharedMemTransport(WeightStrategy().stamp(module, 0))
    module.state["steps"] = "x" * 1000
    transport.send_weights(WeightStrategy().stamp(module, 1))
    assert "xxx" in transport.receive_weights().extra
    module.state["steps"] = "x" * 10_000
    with pytest.raises(WeightsError, match="use `MultiProcessWeightSyncScheme`"):
        transport.send_weights(WeightStrategy().stamp(module, 2))


def test_damaged_memory_is_found():
    source, target = nn.Linear(3, 3), nn.Linear(3, 3)
    before = target.weight.clone()
    sender = SharedMemWeightSyncScheme(timeout_s=5.0)
    sender.init_on_sender(model=source)
    sender.sender_transports[0]._slots.view(-1)[64] ^= 1
    sender.sender_transports[0]._slots[1, 64] ^= 255
    receiver = sender.receiver()
    receiver.init_on_receiver(model=target, worker_idx=0)
    with pytest.raises(WeightsError, match="damaged: checksum"):
        receiver.connect()
    assert torch.equal(target.weight, before)
    with pytest.raises(WorkerError, match=r"(?s)Worker 0 of 1 refused version 0.*damaged"):
        sender.connect()


def test_weights_of_their_own_for_each_worker():
    nets = [nn.Linear(2, 2) for _ in range(3)]
    states = {i: net.state_dict() for i, net in enumerate(nets)}
    with pytest.raises(RLError, match="pass `per_worker_weights=True`"):
        SharedMemWeightSyncScheme().init_on_sender(params_map=states)
    sender = SharedMemWeightSyncScheme(per_worker_weights=True, timeout_s=5.0)
    sender.init_on_sender(params_map=states)
    receivers = []
    for i in range(3):
        receivers.append(sender.receiver())
        receivers[i].init_on_receiver(model=nn.Linear(2, 2), worker_idx=i)
        receivers[i].connect()
        assert torch.equal(receivers[i].model.weight, nets[i].weight)
    sender.connect()
    sender.send_async({0: nets[1], 2: nets[1]}, worker_ids=[0, 2])
    for i, comes in enumerate([True, False, True]):
        assert (receivers[i].receive(timeout=0.1) is not None) == comes
        assert torch.equal(receivers[i].model.weight, nets[1].weight)
    sender.wait_async()
    assert sender.loaded_versions() == [1, 0, 1]
    with pytest.raises(RLError, match=r"no weights for the workers \[1\]: pass theirs too"):
        sender.send({0: nets[1], 2: nets[1]})
    with pytest.raises(RLError, match="There is no model to take weights of"):
        sender.send()


def test_the_first_weights_may_come_with_connect():
    with pytest.raises(RLError, match="Shared memory is laid out before the workers start"):
        SharedMemWeightSyncScheme().init_on_sender(num_workers=1)
    sender = WeightSyncScheme.from_backend("process", timeout_s=5.0)
    sender.init_on_sender(num_workers=1)
    with pytest.raises(RLError, match="There is nothing to send"):
        sender.connect()
    source, target = nn.Linear(1, 1), nn.Linear(1, 1)
    receiver = sender.receiver()
    receiver.init_on_receiver(model=target, worker_idx=0)
    thread = threading.Thread(target=receiver.connect)
    thread.start()
    sender.connect(weights=source)
    thread.join(10)
    assert torch.equal(source.weight, target.weight)
    sender.shutdown()


def test_backends_by_name():
    for name, kind in {
        "none": "NoWeightSyncScheme",
        "direct": "NoWeightSyncScheme",
        "shared": "SharedMemWeightSyncScheme",
        "thread": "SharedMemWeightSyncScheme",
        "process": "MultiProcessWeightSyncScheme",
        "multiprocessing": "MultiProcessWeightSyncScheme",
    }.items():
        assert type(WeightSyncScheme.from_backend(name)).__name__ == kind
    assert WeightSyncScheme.from_backend("shared", per_worker_weights=True).per_worker_weights
    with pytest.raises(NotRegisteredError, match="Did you mean `shared`"):
        WeightSyncScheme.from_backend("shard")
    with pytest.raises(NotRegisteredError, match="come with rl-distributed"):
        WeightSyncScheme.from_backend("ray")


def test_no_sync_does_nothing():
    module = nn.Linear(1, 1)
    before = module.weight.clone()
    for begin in ("init_on_sender", "init_on_receiver"):
        scheme = NoWeightSyncScheme()
        getattr(scheme, begin)(model=module)
        scheme.connect()
        scheme.send(nn.Linear(1, 1))
        scheme.send_async()
        scheme.wait_async()
        assert scheme.receive() is None
        scheme.shutdown()
    assert torch.equal(module.weight, before)
    with pytest.raises(RLError, match="carries nothing"):
        scheme.create_transport()


def test_a_peer_that_ends_is_seen_before_it_is_waited_for():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    peer = Peer(process.pid)
    assert peer.is_alive()
    os.kill(process.pid, signal.SIGKILL)
    assert wait_until(lambda: not peer.is_alive(), 5.0)
    process.wait()
    assert not Peer(process.pid).is_alive()
    peer.close()
    peer.close()


def test_waits_end():
    start = time.monotonic()
    assert not wait_until(lambda: False, 0.1)
    assert time.monotonic() - start < 1
    assert not wait_until(lambda: False, 30.0, lambda: True)
    assert wait_until(lambda: True, 0.0)


def test_the_board_keeps_the_end_of_a_long_text():
    board = Board(2)
    board.refuse(1, 3, "ä" * 9000 + "the end")
    version, text = board.refused(1)
    assert version == 3
    assert text.endswith("the end")
    assert board.refused(0) == (-1, "")
    board.join(1)
    assert board.refused(1) == (-1, ""), "who comes anew has refused nothing"


@pytest.mark.parametrize(
    ("path", "message"), [("_rows]", "is no path"), ("_rows.shap", "has no `shap`. Did you mean")]
)
def test_paths_that_lead_nowhere(path, message):
    with pytest.raises(RLError, match=message):
        find_model(Board(1), path)
    assert isinstance(find_model(Board(1), "_rows[0]").numpy(), np.ndarray)
