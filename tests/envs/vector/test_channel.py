import os
import threading
import time

import pytest

from rl.envs.vector.channel import Channel, ChannelClosedError, ChannelTimeoutError


@pytest.fixture
def ends():
    ours_read, theirs_write = os.pipe()
    theirs_read, ours_write = os.pipe()
    both = Channel(ours_read, ours_write), Channel(theirs_read, theirs_write)
    yield both
    for end in both:
        end.close()
        end.close()


def test_codes_and_payloads_in_order(ends):
    ours, theirs = ends
    ours.send_code(b"s")
    ours.send(b"c", b"payload", 1.0)
    ours.send(b"c", b"", 1.0)
    assert theirs.receive_code(1.0) == b"s"
    assert theirs.receive_code(1.0) == b"c"
    assert theirs.receive_payload(1.0) == b"payload"
    assert theirs.receive_code(1.0) == b"c"
    assert theirs.receive_payload(1.0) == b""


def test_a_payload_larger_than_the_pipe(ends):
    ours, theirs = ends
    payload = os.urandom(1 << 20)
    sender = threading.Thread(target=ours.send, args=(b"c", payload, 10.0))
    sender.start()
    assert theirs.receive_code(10.0) == b"c"
    assert theirs.receive_payload(10.0) == payload
    sender.join()


def test_waits_are_bounded(ends):
    ours, _ = ends
    start = time.monotonic()
    with pytest.raises(ChannelTimeoutError):
        ours.receive_code(0.05)
    with pytest.raises(ChannelTimeoutError):  # nobody reads: the pipe fills up
        ours.send(b"c", bytes(1 << 20), 0.05)
    assert time.monotonic() - start < 5.0


def test_the_other_end_is_gone(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(ChannelClosedError):
        ours.receive_code(1.0)
    with pytest.raises(ChannelClosedError):
        ours.send_code(b"s")
    with pytest.raises(ChannelClosedError):
        ours.send(b"c", b"x", 1.0)


def test_the_other_end_goes_within_a_message(ends):
    ours, theirs = ends
    theirs.send_code(b"c")
    theirs.send_code(b"x")  # one byte of a length that has eight
    theirs.close()
    assert ours.receive_code(1.0) == b"c"
    with pytest.raises(ChannelClosedError):
        ours.receive_payload(1.0)
