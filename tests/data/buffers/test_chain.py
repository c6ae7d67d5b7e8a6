import pickle

import pytest
import torch
from tensordict import TensorDict

from rl.core import RLError, Transform
from rl.data import LazyTensorStorage, TensorDictReplayBuffer
from rl.data.buffers.chain import BufferChain
from rl.data.transforms.memory import WriteMemory


class Owner:
    """Stands for a buffer."""


class Ordered(WriteMemory):
    in_order = True


class Reads(Transform):
    """Notes whether the buffer's lock is held while it runs."""

    reads_rows = True

    def _call(self, data):
        return data.set("held", torch.tensor([self.container.buffer._lock._is_owned()] * len(data)))


def test_what_the_parts_need_is_found_inside_of_others():
    chain = BufferChain(Owner())
    assert (chain.reads_rows, chain.has_inverse) == (False, False)
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(3))
    rb.append_transform(Ordered(), invert=True)
    with pytest.raises(RLError, match="`Ordered` needs steps that follow each other, and `add`"):
        rb.add(TensorDict({"x": torch.zeros(())}))
    rb.transform.pop()
    assert rb.add(TensorDict({"x": torch.zeros(())})) == 0


def test_a_transform_that_reads_rows_runs_before_others_write():
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(3), batch_size=2, transform=Reads())
    rb.extend(TensorDict({"x": torch.zeros(3)}, [3]))
    assert rb.sample()["held"].all()
    assert rb[:]["held"].all()


def test_a_copy_has_a_chain_of_its_own():
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(3), batch_size=2, transform=Reads())
    other = pickle.loads(pickle.dumps(rb))
    assert other.transform.buffer is other
    assert other.transform[0].container is other.transform


def test_a_failed_write_gives_the_memory_back():
    chain = BufferChain(Owner())
    chain.append(WriteMemory())
    chain[0].memory = "before"

    def write():
        with chain.writing():
            chain[0].memory = "after"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert chain[0].memory == "before"
    with chain.writing():
        chain[0].memory = "after"
    assert chain[0].memory == "after"


def test_a_buffer_shows_no_env():
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(3), transform=Transform())
    assert rb.transform[0].parent is None
    assert rb.transform[0].container.buffer is rb
