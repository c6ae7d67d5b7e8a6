import torch
from tensordict import TensorDict

from rl.data import LazyTensorStorage, TensorDictReplayBuffer
from rl.data.transforms.memory import WriteMemory


class Count(WriteMemory):
    """Counts the rows about to be written."""

    def before_write(self, count):
        self.memory = count + (self.memory or 0)


def test_the_buffer_tells_saves_and_forgets():
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(9), transform=Count())
    rb.extend(TensorDict({"x": torch.zeros(3)}, [3]))
    rb.add(TensorDict({"x": torch.zeros(())}))
    assert rb.transform[0].memory == 4
    other = TensorDictReplayBuffer(storage=LazyTensorStorage(9), transform=Count())
    other.load_state_dict(rb.state_dict())
    assert other.transform[0].memory == 4
    rb.empty()
    assert rb.transform[0].memory is None
