import pytest
import torch

from rl.core.errors import CheckpointError
from rl.data import ListStorage, PrioritizedSampler, RandomSampler, ReplayBuffer, Storage
from rl.data.buffers.parts import check_parts, check_size, make_part, state_of_parts, take_parts


def buffer(beta):
    return ReplayBuffer(
        sampler=PrioritizedSampler(1000, 1.0, beta), generator=torch.Generator().manual_seed(0)
    )


def test_parts_are_taken_or_made():
    storage = ListStorage(3)
    assert make_part("storage", storage, Storage, ListStorage) is storage
    assert make_part("storage", lambda: storage, Storage, ListStorage) is storage
    assert make_part("storage", None, Storage, ListStorage).max_size == 1000
    with pytest.raises(TypeError, match="expected a Storage or a function that makes one"):
        make_part("storage", RandomSampler(), Storage, ListStorage)


def test_sizes_are_positive():
    assert check_size("n", 3) == 3
    with pytest.raises(ValueError, match="`n` is 0, expected a positive number"):
        check_size("n", 0)


def test_state_round_trip():
    first, second = buffer(0.5), buffer(0.9)
    first.extend(["a", "b"])
    torch.rand(3, generator=first.sampler.generator)
    state = state_of_parts(first)
    check_parts(second, state)
    take_parts(second, state)
    assert second.sampler.beta == 0.5
    assert second.writer.cursor == 2
    states = [each.sampler.generator.get_state() for each in (first, second)]
    assert torch.equal(*states)


def test_other_parts_raise():
    with pytest.raises(CheckpointError, match="`sampler` of the saved buffer is a Prio"):
        check_parts(ReplayBuffer(), state_of_parts(buffer(0.5)))
