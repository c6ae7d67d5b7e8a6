import os
import pickle
import socket
import threading
import time

import pytest
import torch

from rl.core.errors import WorkerError
from rl.core.services.base import ServiceCalls
from rl.core.services.channel import SocketChannel
from rl.core.services.engine import SHUTDOWN, Engine
from rl.core.services.listener import Listener
from rl.core.services.wire import TOKEN_BYTES, pack, receive, send

OWNER, CLIENT = b"o" * TOKEN_BYTES, b"c" * TOKEN_BYTES


class Target:
    def __init__(self):
        self.values, self.large = [], torch.zeros(8_000_000)

    def add(self, value):
        self.values.append(value)
        return len(self.values)

    def thing(self):
        return object()

    def all_values(self):
        return self.large

    def fill(self, value):
        self.large.fill_(value)


@pytest.fixture
def listener():
    calls = ServiceCalls(client={"add", "all_values", "fill", "thing"}, owner={"clear"})
    engine = Engine(Target(), calls, max_queue_size=2)
    listener = Listener(engine, {OWNER: calls.of_owner | {SHUTDOWN}, CLIENT: calls.client})
    thread = threading.Thread(target=engine.run)
    thread.start()
    listener.start()
    yield listener
    engine.stop()
    thread.join(10)
    listener.close()


def channel(listener, token=CLIENT):
    return SocketChannel("t", listener.port, token)


def add(listener, value=1, token=CLIENT):
    return channel(listener, token).ask("add", [value], {}, 10.0)


def test_strangers_are_not_let_in(listener):
    with pytest.raises(WorkerError, match="is gone"):
        add(listener, token=os.urandom(TOKEN_BYTES))
    assert add(listener) == 1


def test_only_this_machine_is_served(listener):
    assert listener._socket.getsockname()[0] == "127.0.0.1"


def test_what_cannot_be_sent_back_is_an_error(listener):
    with pytest.raises(WorkerError, match=r"What `thing` returned cannot be sent.*object"):
        channel(listener).ask("thing", [], {}, 10.0)
    assert add(listener) == 1


def test_what_is_on_its_way_does_not_change(listener):
    with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as connection:
        connection.sendall(CLIENT)
        send(connection, pack({"call": "all_values", "args": [], "kwargs": {}}))
        assert connection.recv(1, socket.MSG_PEEK)  # the rest does not fit into the buffers
        channel(listener).ask("fill", [1.0], {}, 20.0)
        assert not receive(connection)["result"].any()


def test_more_clients_than_places_in_the_queue(listener):
    seen = []

    def work():
        own = channel(listener)
        seen.extend(own.ask("add", [0], {}, 20.0) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(seen) == list(range(1, 61))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("pickled",)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        CLIENT[:5],
        CLIENT + b"\0\0\0\x10",
        CLIENT + (2).to_bytes(8, "big") + b"{}",
        CLIENT + (8).to_bytes(8, "big") + b"nonsense",
        CLIENT + (80).to_bytes(8, "big") + pickle.dumps(Evil()).ljust(80),
    ],
)
def test_who_says_nonsense_harms_nobody(listener, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_connection(("127.0.0.1", listener.port)) as connection:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(10)
        assert connection.recv(1) == b""
    assert add(listener) == 1
    assert list(tmp_path.iterdir()) == []


def test_connections_end_with_it(listener):
    own = channel(listener)
    own.ask("add", [1], {}, 10.0)
    listener.close()
    start = time.monotonic()
    with pytest.raises(WorkerError, match="is gone"):
        own.ask("add", [1], {}, 10.0)
    assert time.monotonic() - start < 5
