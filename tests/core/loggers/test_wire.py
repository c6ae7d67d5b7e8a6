import os
import pickle
import socket

import numpy as np
import pytest

from rl.core.errors import WorkerError
from rl.core.loggers.wire import TOKEN_BYTES, Channel, receive, send


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    "array", [None, np.zeros((2, 0)), np.arange(6, dtype=np.uint8).reshape(2, 3).T, np.ones(())]
)
def test_messages_arrive_as_they_were_sent(pair, array):
    ours, theirs = pair
    message = {"call": "log", "arguments": {"value": float("inf"), "name": "ä"}}
    send(ours, message, array)
    send(ours, {"second": 1})
    got, other = receive(theirs)
    assert got == message
    if array is None:
        assert other is None
    else:
        np.testing.assert_array_equal(other, array)
        assert other.dtype == array.dtype
    assert receive(theirs) == ({"second": 1}, None)


def test_half_a_message_is_none(pair):
    ours, theirs = pair
    ours.sendall(b"\0\0\0\x10")
    ours.close()
    assert receive(theirs) is None


def test_a_silent_process_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel = Channel(listener.getsockname()[1], os.urandom(TOKEN_BYTES), 0.2)
        with pytest.raises(WorkerError, match=r"did not answer `flush` in 0\.2 s"):
            channel.ask("flush", {})


def test_a_channel_is_sent_without_its_connection():
    channel = pickle.loads(pickle.dumps(Channel(1, b"t" * TOKEN_BYTES, 2.0)))
    assert (channel.port, channel.token, channel.timeout_s) == (1, b"t" * TOKEN_BYTES, 2.0)
