import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import RLError
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    RandomSampler,
    ReplayBuffer,
    RoundRobinWriter,
    SamplerWithoutReplacement,
    TensorDictReplayBuffer,
    TensorDictRoundRobinWriter,
    TensorStorage,
)
from rl.data.testing import check_buffer

# 12 elements: the four writes of 5 in the kit wrap around
STORAGES = {
    "list": lambda: ListStorage(12),
    "tensor": lambda: TensorStorage(td(12)),
    "lazy": lambda: LazyTensorStorage(12),
    "memmap": lambda: LazyMemmapStorage(12),
}
SAMPLERS = {
    "random": RandomSampler,
    "epochs": SamplerWithoutReplacement,
    "epochs without rest": lambda: SamplerWithoutReplacement(drop_last=True),
    "prioritized": lambda: PrioritizedSampler(12, 0.7, 0.5),
}
WRITERS = {"plain": RoundRobinWriter, "tensordict": TensorDictRoundRobinWriter}


def td(n):
    return TensorDict({"x": torch.randn(n, 3), "next": {"done": torch.rand(n, 1) < 0.5}}, [n])


@pytest.mark.parametrize("cls", [ReplayBuffer, TensorDictReplayBuffer])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("storage", ["list", "lazy", "memmap"])
def test_every_combination_keeps_the_promises(cls, storage, sampler, writer):
    def make(generator, prefetch):
        return cls(
            storage=STORAGES[storage],
            sampler=SAMPLERS[sampler],
            writer=WRITERS[writer],
            batch_size=4,
            prefetch=prefetch,
            generator=generator,
        )

    check_buffer(make, td)


def test_two_dimensions():
    def make(generator, prefetch):
        return TensorDictReplayBuffer(
            storage=LazyTensorStorage(24, ndim=2),
            sampler=PrioritizedSampler(24, 0.7, 0.5),
            batch_size=4,
            prefetch=prefetch,
            generator=generator,
        )

    check_buffer(make, lambda n: TensorDict({"x": torch.randn(2, n, 3)}, [2, n]))


class Broken(RandomSampler):
    """Draws otherwise each time, which no promise allows."""

    drawn = 0

    def sample(self, storage, batch_size):
        self._size(storage)
        Broken.drawn += 1
        return torch.full((batch_size,), Broken.drawn % len(storage)), {}


class Careless(RandomSampler):
    def sample(self, storage, batch_size):
        return torch.zeros(batch_size, dtype=torch.int64), {}


class Forgetful(SamplerWithoutReplacement):
    def state_dict(self):
        return {**super().state_dict(), "order": None, "cursor": 0}


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Broken, "same random state gave different batches"),
        (Forgetful, "does not go on as the original"),
    ],
)
def test_broken_promises_are_found(sampler, message):
    with pytest.raises(RLError, match=message):
        check_buffer(
            lambda generator, prefetch: ReplayBuffer(
                storage=LazyTensorStorage(12),
                sampler=sampler(),
                batch_size=4,
                generator=generator,
                prefetch=prefetch,
            ),
            lambda n: {"x": torch.randn(n)},
        )


def test_a_buffer_that_samples_nothing_is_found():
    with pytest.raises(RLError, match="must raise a RuntimeError"):
        check_buffer(
            lambda generator, prefetch: ReplayBuffer(
                storage=TensorStorage(torch.zeros(12)), sampler=Careless(), batch_size=4
            ),
            torch.randn,
        )
