"""The protocol, over every scheme that moves weights, between real processes."""

import multiprocessing
import os
import pickle
import signal
import time

import pytest
import torch
from torch import nn

from rl.core import RLError, WorkerError
from rl.core.weights import (
    SharedMemWeightSyncScheme,
    WeightsError,
    WeightStrategy,
    WeightSyncScheme,
)
from rl.core.weights.versioned import checksum

CONTEXT = multiprocessing.get_context("forkserver")

# ------------------------------------------------------------ what workers run


def make_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def make_wide(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))


def digest(module):
    return checksum(WeightStrategy().stamp(module, 0).tensordict)


def obey(scheme, index, pipe, make=make_net):
    """Do what the pipe says, and answer with the result or the error's text."""
    torch.set_num_threads(1)
    model = make()
    calls = {
        "connect": lambda: (
            scheme.init_on_receiver(model=model),
            scheme.connect(worker_idx=index),
            scheme.version,
        )[-1],
        "receive": lambda timeout=None: scheme.receive(timeout) is not None,
        "state": lambda: (scheme.version, digest(model)),
        "address": lambda: [p.data_ptr() for p in model.parameters()],
        "shutdown": scheme.shutdown,
    }
    while True:
        call, args = pipe.recv()
        try:
            result = calls[call](*args)
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        pipe.send(result)


def obey_wide(scheme, index, pipe):
    obey(scheme, index, pipe, make_wide)


def swallow(scheme, index, pipe):
    """Receive as fast as it goes, and say after each update whether it is whole."""
    torch.set_num_threads(1)
    model = nn.Linear(200, 200)
    scheme.init_on_receiver(model=model)
    scheme.connect(worker_idx=index)
    pipe.send("ready")
    seen, torn = [], 0
    while not pipe.poll(0):
        if scheme.receive(timeout=0.01) is None:
            continue
        # every element of an update has the update's number
        values = torch.cat([model.weight.flatten(), model.bias])
        torn += int((values != values[0]).any())
        seen.append(scheme.version)
    pipe.send((seen, torn, float(model.weight[0, 0])))
    pipe.recv()
    pipe.poll(60)


def send_until_killed(kind, index, pipe):
    """Start a receiver that speaks to the test, and send to it without end."""
    del index
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    scheme = kind(sync=False)
    scheme.init_on_sender(model=nn.Linear(700, 700), num_workers=1, ctx=context)
    receiver = context.Process(target=receive_until_error, args=(scheme, pipe))
    receiver.start()
    scheme.connect()
    while True:
        scheme.send()


def receive_until_error(scheme, pipe):
    """Tell one version that came, and then the error that ended the receiving."""
    model = nn.Linear(700, 700)
    scheme.init_on_receiver(model=model)
    scheme.connect(worker_idx=0)
    pipe.send(scheme.version)
    try:
        while True:
            scheme.receive()
    except Exception as error:
        pipe.send((f"{type(error).__name__}: {error}", scheme.version))


# --------------------------------------------------------------------- tests


def change(module, value=None):
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.copy_(torch.rand(tensor.shape) * 9 if value is None else torch.tensor(value))


def connected(kind, net, workers, count=1, target=obey, **options):
    scheme = kind(**{"timeout_s": 20.0, **options})
    scheme.init_on_sender(model=net, num_workers=count, ctx=CONTEXT)
    team = workers(target, scheme, count)
    for worker in team:
        worker.tell("connect")
    scheme.connect()
    assert [worker.answer() for worker in team] == [0] * count
    return scheme, team


def pair(kind, source, target, **options):
    """Both ends in this process."""
    sender = kind(**{"timeout_s": 5.0, **options})
    sender.init_on_sender(model=source, num_workers=1)
    receiver = sender.receiver()
    receiver.init_on_receiver(model=target, worker_idx=0)
    receiver.connect()
    sender.connect()
    return sender, receiver


def update(sender, receiver, *args):
    sender.send_async(*args)
    receiver.receive()
    sender.wait_async()


def receive_for_ever(receiver):
    while receiver.receive(timeout=5.0) is not None:
        pass


def test_many_updates_reach_many_receivers_in_place(kind, net, workers):
    scheme, team = connected(kind, net, workers, count=3)
    addresses = [worker.ask("address") for worker in team]
    assert [worker.ask("state") for worker in team] == [(0, digest(net))] * 3
    for version in range(1, 21):
        change(net)
        for worker in team:
            worker.tell("receive")
        scheme.send()
        assert [worker.answer() for worker in team] == [True] * 3
        assert [worker.ask("state") for worker in team] == [(version, digest(net))] * 3
    assert scheme.loaded_versions() == [20] * 3
    assert [worker.ask("address") for worker in team] == addresses


def test_a_receiver_that_is_killed_raises_and_the_others_go_on(kind, net, workers, elapsed):
    scheme, team = connected(kind, net, workers, count=2)
    team[0].kill()
    with pytest.raises(WorkerError, match=r"Worker 0 of 2 is gone: .* with version 0 .*worker_ids"):
        scheme.send()
    team[1].tell("receive")
    scheme.send(worker_ids=[1])
    assert team[1].answer() is True
    assert scheme.loaded_versions() == [0, 1]
    assert elapsed() < 20


def test_a_receiver_that_is_killed_while_waited_for(kind, net, workers):
    scheme, (worker,) = connected(kind, net, workers)
    scheme.send_async()
    worker.kill()
    start = time.monotonic()
    with pytest.raises(WorkerError, match="is gone"):
        scheme.wait_async()
    assert time.monotonic() - start < 5


def test_a_receiver_that_is_stopped_is_not_waited_for_without_end(kind, net, workers):
    scheme, (worker,) = connected(kind, net, workers)
    os.kill(worker.process.pid, signal.SIGSTOP)
    start = time.monotonic()
    scheme.timeout_s = 1.0
    with pytest.raises(WorkerError, match=r"has not confirmed version 1 within 1 s.*timeout_s"):
        scheme.send()
    assert time.monotonic() - start < 5


def test_a_sender_that_is_killed_mid_write_is_noticed(kind, workers):
    (sender,) = workers(send_until_killed, kind, daemon=False)
    assert sender.answer() == 0
    time.sleep(0.5)
    sender.kill()
    start = time.monotonic()
    text, version = sender.answer()
    assert time.monotonic() - start < 5
    assert text.startswith("WorkerError: The sender is gone: its process")
    assert version > 0


def test_a_fast_sender_never_shows_half_of_an_update(kind, workers):
    model = nn.Linear(200, 200)
    change(model, 0.0)
    scheme = kind(sync=False, timeout_s=20.0)
    scheme.init_on_sender(model=model, num_workers=2, ctx=CONTEXT)
    team = workers(swallow, scheme, 2)
    scheme.connect()
    assert [worker.answer() for worker in team] == ["ready"] * 2
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        change(model, float(scheme.version + 1))
        scheme.send()
    scheme.wait_async()
    for worker in team:
        worker.tell("stop")
    for worker in team:
        seen, torn, value = worker.answer()
        assert torn == 0
        assert seen == sorted(set(seen)), "versions only grow"
        assert len(seen) > 2
        assert seen[-1] == value == scheme.version, "the newest arrives"


def test_a_slow_receiver_skips_to_the_newest(kind, net, workers):
    scheme, (worker,) = connected(kind, net, workers, sync=False)
    for _ in range(10):
        change(net)
        scheme.send()
    worker.tell("receive")
    scheme.wait_async()
    worker.answer()
    assert worker.ask("state") == (10, digest(net))
    assert worker.ask("receive", 0.0) is False, "nothing is loaded twice"


def test_another_network_is_refused_on_both_sides(kind, net, workers):
    scheme = kind(timeout_s=20.0)
    scheme.init_on_sender(model=net, num_workers=1, ctx=CONTEXT)
    (worker,) = workers(obey_wide, scheme)
    before = worker.ask("state")
    worker.tell("connect")
    with pytest.raises(WorkerError, match=r"(?s)refused version 0.*`0.weight` has shape \[4, 3\]"):
        scheme.connect()
    assert "Build both sides from one factory" in worker.answer()
    assert worker.ask("state") == before


def test_a_receiver_that_never_comes(kind, net):
    scheme = kind(timeout_s=0.3)
    scheme.init_on_sender(model=net, num_workers=2)
    with pytest.raises(WorkerError, match=r"Worker 1 of 2 has not called `connect` within 0.3 s"):
        scheme.connect()


def test_a_receiver_that_left(kind, net):
    sender, receiver = pair(kind, net, make_net())
    receiver.shutdown()
    receiver.shutdown()
    with pytest.raises(WorkerError, match="has ended its work with version 0"):
        sender.send()
    with pytest.raises(RLError, match="make a new one"):
        receiver.receive()


def test_a_sender_that_ended(kind, net):
    sender, receiver = pair(kind, net, make_net())
    sender.send_async()
    sender.shutdown()
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"has ended its work.*No weights will come"):
        receive_for_ever(receiver)  # what was sent before may still come
    assert time.monotonic() - start < 4
    with pytest.raises(RLError, match="make a new one"):
        sender.send()


def test_a_wait_for_nothing_ends(kind, net):
    _, receiver = pair(kind, net, make_net(), timeout_s=0.2)
    assert receiver.receive(timeout=0.0) is None
    assert receiver.receive(timeout=0.05) is None
    with pytest.raises(WorkerError, match=r"No weights came within 0.2 s, and the sender lives"):
        receiver.receive()


def test_a_refusal_is_told_once_and_the_next_update_is_tried(kind, net):
    sender, receiver = pair(kind, net, make_net(), sync=False)
    receiver.model = nn.Linear(1, 1)
    sender.send()
    with pytest.raises(WeightsError, match="partial"):
        receiver.receive()
    with pytest.raises(WorkerError, match="refused version 1"):
        sender.send()
    receiver.model = make_net()
    sender.send()
    receiver.receive()
    sender.wait_async()
    assert sender.loaded_versions() == [2]


def test_stale_weights_raise(kind, net):
    sender, receiver = pair(kind, net, make_net())
    update(sender, receiver)
    receiver.assert_version(1)
    with pytest.raises(WeightsError, match="version 1, at least 2 is asked for"):
        receiver.assert_version(2)
    sender.version = -1  # goes back to what was sent before
    receiver.version, due = 5, sender.version
    sender.send_async()
    assert due < 5
    assert receiver.receive(timeout=0.1) is None, "older weights are not even taken"
    with pytest.raises(WeightsError, match="stale: version 0, the module has 5"):
        receiver.apply_weights(receiver.strategy.stamp(net, 0))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.pop("0.weight"), "partial: `0.weight` missing"),
        (lambda d: d.update({"3.weight": d["2.weight"]}), "hold `3.weight`"),
        (lambda d: d.update({"2.bias": torch.zeros(3)}), r"shape \[3\], expected \[2\]"),
        (lambda d: d.update({"2.bias": torch.zeros(2, dtype=torch.long)}), "int64, expected"),
    ],
)
def test_other_weights_are_refused_before_they_are_sent(kind, net, spoil, message):
    sender, receiver = pair(kind, net, make_net())
    state = net.state_dict()
    spoil(state)
    with pytest.raises(WeightsError, match=message):
        sender.send(state)
    update(sender, receiver)
    assert digest(receiver.model) == digest(net)


@pytest.mark.parametrize("strategy", ["tensordict", "state_dict"])
def test_every_form_of_weights_is_taken(kind, net, strategy):
    sender, receiver = pair(kind, make_net(), make_net(), strategy=strategy)
    forms = [net, net.state_dict(), sender.strategy.extract_weights(net)]
    for form in forms:
        change(net)
        update(sender, receiver, form)
        assert digest(receiver.model) == digest(net)
    with pytest.raises(WeightsError, match="A str holds no weights"):
        sender.send("weights")


def test_a_pickle_has_neither_model_nor_role(net):
    scheme = SharedMemWeightSyncScheme()
    scheme.init_on_sender(model=net, num_workers=1)
    state = scheme.__getstate__()
    assert state["model"] is None
    assert state["_role"] is None
    assert state["_outbox"] is None
    assert scheme.model is net
    assert pickle.loads(pickle.dumps(SharedMemWeightSyncScheme("state_dict"))).sync


def test_roles_are_kept_apart(kind, net):
    scheme = kind()
    with pytest.raises(RLError, match="call `init_on_sender` in this process first"):
        scheme.send()
    with pytest.raises(RLError, match="call `init_on_sender` first"):
        scheme.init_on_receiver(model=net)
    with pytest.raises(RLError, match="`num_workers` is 0"):
        kind().init_on_sender(model=net, num_workers=0)
    scheme.init_on_sender(model=net, num_workers=1)
    with pytest.raises(RLError, match=r"in the same process is `scheme.receiver\(\)`"):
        scheme.init_on_receiver(model=net)
    receiver = scheme.receiver()
    with pytest.raises(RLError, match=r"the sender's is `policy`: .* Make one for each"):
        receiver.init_on_receiver(model_id="critic", model=net)
    with pytest.raises(RLError, match="A receiver fills a module"):
        scheme.receiver().init_on_receiver(model={})
    receiver.init_on_receiver(model=make_net())
    with pytest.raises(RLError, match=r"call `connect\(worker_idx=...\)` first"):
        receiver.receive()
    with pytest.raises(RLError, match="`worker_idx` is 3, expected 0 to 0"):
        receiver.connect(worker_idx=3)
    with pytest.raises(RLError, match=r"`worker_ids` has \[7\], expected 0 to 0"):
        scheme.send(worker_ids=7)
    assert scheme.initialized_on_sender
    assert receiver.initialized_on_receiver
    assert "policy" in repr(scheme)


def test_the_context_has_the_model_and_the_numbers(kind):
    class Context:
        num_workers = 1
        worker_idx = 0

        def __init__(self):
            self.parts = [nn.Linear(1, 1)]

    ours, theirs = Context(), Context()
    sender = kind()
    sender.init_on_sender(model_id="parts[0]", context=ours)
    receiver = sender.receiver()
    receiver.init_on_receiver(model_id="parts[0]", context=theirs)
    receiver.connect()
    sender.connect()
    assert torch.equal(ours.parts[0].weight, theirs.parts[0].weight)
    assert sender.synchronized_on_sender
    assert receiver.synchronized_on_receiver
    with pytest.raises(RLError, match=r"`parts\[1\]`: a list has no `\[1\]`"):
        kind().init_on_sender(model_id="parts[1]", context=ours)


def test_the_base_class_carries_nothing_itself():
    assert WeightSyncScheme.create_transport.__isabstractmethod__
