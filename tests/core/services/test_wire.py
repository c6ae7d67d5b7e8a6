import socket
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import LazyStackedTensorDict, NonTensorData, TensorDict

from rl.core.services.wire import MessageError, pack, receive, receive_exactly, send

DTYPES = [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float16, torch.complex64]


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def through(pair, value):
    ours, theirs = pair
    thread = threading.Thread(target=send, args=(ours, pack({"value": value})))
    thread.start()
    got = receive(theirs)
    thread.join()
    return got["value"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 2), (3, 2)])
def test_tensors_arrive_as_they_are(pair, dtype, shape):
    value = torch.ones(shape, dtype=dtype)
    got = through(pair, value)
    assert got.dtype is dtype
    assert torch.equal(got, value)
    got.fill_(0)  # it is the receiver's own


def test_views_and_gradients_are_left_behind(pair):
    value = torch.arange(6.0).reshape(2, 3).T.requires_grad_()
    got = through(pair, value)
    assert torch.equal(got, value)
    assert not got.requires_grad


def test_tensordicts_keep_batch_size_names_and_text(pair):
    inner = TensorDict({"x": torch.ones(2, 3)}, [2, 3])
    text = NonTensorData("go", batch_size=[2])
    value = TensorDict({"in": {"deep": inner}, "text": text}, [2], names=["time"])
    got = through(pair, value)
    assert got["in", "deep", "x"].equal(torch.ones(2, 3))
    assert got["in", "deep"].batch_size == torch.Size([2, 3])
    assert (got["text"], got.names) == ("go", ["time"])
    stack = LazyStackedTensorDict(
        TensorDict({"a": torch.ones(1)}), TensorDict({"a": torch.ones(2)})
    )
    assert [part["a"].shape[0] for part in through(pair, stack).tensordicts] == [1, 2]


def test_more_than_a_buffer_of_the_system(pair):
    value = torch.arange(1_000_000)
    assert torch.equal(through(pair, [value, value + 1])[1], value + 1)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(value=plain)
def test_plain_values_arrive_as_they_are(value):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        got = through((ours, theirs), value)
    assert got == value
    assert type(got) is type(value)


def test_messages_follow_each_other(pair):
    ours, theirs = pair
    send(ours, pack({"first": np.arange(2)}))
    send(ours, pack({"second": 1}))
    np.testing.assert_array_equal(receive(theirs)["first"], [0, 1])
    assert receive(theirs) == {"second": 1}


@pytest.mark.parametrize("kept", [4, 12, -1])
def test_a_part_of_a_message_is_none(pair, kept):
    ours, theirs = pair
    ours.sendall(b"".join(pack({"x": torch.ones(3)}))[:kept])
    ours.close()
    assert receive(theirs) is None
    assert receive_exactly(theirs, 1) is None


@pytest.mark.parametrize("value", [{1, 2}, object(), torch.ones(2).to_sparse(), [{"a": print}]])
def test_what_a_message_cannot_hold_is_named(value):
    with pytest.raises(MessageError, match=r"`args/0.*which a message cannot hold"):
        pack({"args": [value]})


def test_a_message_holds_no_code():
    assert b"torch" not in b"".join(pack({"x": torch.ones(2), "td": TensorDict({"a": 1})}))
