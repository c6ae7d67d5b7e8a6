import pytest
import torch

from rl.data import ImmutableDatasetWriter, ReplayBuffer, TensorStorage


@pytest.mark.parametrize("write", [lambda rb: rb.extend(torch.ones(2)), lambda rb: rb.empty()])
def test_every_write_raises_and_changes_nothing(write):
    rb = ReplayBuffer(
        storage=TensorStorage(torch.zeros(5)), writer=ImmutableDatasetWriter(), batch_size=2
    )
    with pytest.raises(RuntimeError, match="Use `RoundRobinWriter` to write"):
        write(rb)
    assert rb[:].tolist() == [0.0] * 5
    assert rb.sample().shape == (2,)
