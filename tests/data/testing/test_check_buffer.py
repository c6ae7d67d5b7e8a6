import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import RLError
from rl.data import (
    CompressedListStorage,
    ConsumingSampler,
    FlatStorageCheckpointer,
    H5Storage,
    H5StorageCheckpointer,
    LazyMemmapStorage,
    LazyStackStorage,
    LazyTensorStorage,
    ListStorage,
    NestedStorageCheckpointer,
    PrioritizedSampler,
    PromptGroupSampler,
    RandomSampler,
    ReplayBuffer,
    RoundRobinWriter,
    SamplerWithoutReplacement,
    StalenessAwareSampler,
    TensorDictMaxValueWriter,
    TensorDictReplayBuffer,
    TensorDictRoundRobinWriter,
    TensorStorage,
)
from rl.data.testing import check_buffer, check_history

# 12 elements: the four writes of 5 in the kit wrap around
STORAGES = {
    "list": lambda: ListStorage(12),
    "tensor": lambda: TensorStorage(td(12)),
    "lazy": lambda: LazyTensorStorage(12),
    "memmap": lambda: LazyMemmapStorage(12),
    "stack": lambda: LazyStackStorage(12),
    "compressed": lambda: CompressedListStorage(12),
    "flat": lambda: LazyTensorStorage(12, checkpointer=FlatStorageCheckpointer()),
    "nested": lambda: LazyMemmapStorage(12, checkpointer=NestedStorageCheckpointer()),
    "h5": lambda: LazyTensorStorage(12, checkpointer=H5StorageCheckpointer()),
    "shared": lambda: LazyTensorStorage(12, shared_init=True),
    "file": lambda: H5Storage(12, compression="lzf"),
}
SAMPLERS = {
    "random": RandomSampler,
    "epochs": SamplerWithoutReplacement,
    "epochs without rest": lambda: SamplerWithoutReplacement(drop_last=True),
    "prioritized": lambda: PrioritizedSampler(12, 0.7, 0.5),
    "by mean": lambda: PrioritizedSampler(12, 0.7, 0.5, reduction="mean"),
    "by the largest there": lambda: PrioritizedSampler(
        12, 0.7, 0.5, max_priority_within_buffer=True
    ),
    "consuming": lambda: ConsumingSampler(200),
    "fresh": lambda: fresh_sampler(),
    "groups": lambda: PromptGroupSampler(samples_per_group=1, group_key="group"),
    "varied groups": lambda: PromptGroupSampler(
        samples_per_group=1, group_key="group", strategy="variance", reward_key="score"
    ),
}
WRITERS = {
    "plain": RoundRobinWriter,
    "tensordict": TensorDictRoundRobinWriter,
    "generations": lambda: RoundRobinWriter(track_generations=True),
    "best": lambda: TensorDictMaxValueWriter("score"),
}


def fresh_sampler():
    sampler = StalenessAwareSampler()
    sampler.consumer_version = 9
    return sampler


def td(n):
    x = torch.randn(n + 1, 3)
    return TensorDict(
        {
            "x": x[:-1],
            "group": torch.arange(n) % 4,
            "score": torch.rand(n),
            "policy_version": torch.randint(9, (n,)),
            "next": {"x": x[1:], "done": torch.rand(n, 1) < 0.5},
        },
        [n],
    )


def maker(storage, sampler="random", writer="tensordict", cls=TensorDictReplayBuffer, **kwargs):
    def make(generator=None, prefetch=0):
        return cls(
            storage=STORAGES[storage],
            sampler=SAMPLERS[sampler],
            writer=WRITERS[writer],
            batch_size=4,
            prefetch=prefetch if sampler != "consuming" else 0,
            generator=generator,
            **kwargs,
        )

    return make


@pytest.mark.filterwarnings("ignore:A batch needs")
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("storage", ["list", "lazy", "memmap"])
def test_every_combination_keeps_the_promises(storage, sampler, writer):
    if (sampler, writer) == ("consuming", "best"):
        with pytest.raises(ValueError, match="needs a `RoundRobinWriter`"):
            maker(storage, sampler, writer)()
    else:
        check_buffer(maker(storage, sampler, writer), td)


@pytest.mark.filterwarnings("ignore:A batch needs")
@pytest.mark.parametrize("sampler", ["epochs", "prioritized", "consuming", "fresh", "groups"])
@pytest.mark.parametrize("storage", ["stack", "compressed", "file"])
def test_other_storages_keep_the_promises(storage, sampler):
    check_buffer(maker(storage, sampler), td)


@pytest.mark.parametrize("storage", ["flat", "nested", "h5", "shared"])
def test_every_form_of_saving_keeps_the_promises(storage):
    check_buffer(maker(storage, "prioritized"), td)


@pytest.mark.parametrize("storage", ["memmap", "shared"])
def test_a_shared_buffer_keeps_the_promises(storage):
    rb = maker(storage, "random", shared=True)()
    for n in (5, 5, 5):
        rb.extend(td(n))
    check_history(maker(storage, "epochs", shared=True), td, [("extend", 5)] * 4 + [("sample", 4)])


@pytest.mark.parametrize("cls", [ReplayBuffer, TensorDictReplayBuffer])
@pytest.mark.parametrize("rows", [torch.randn, lambda n: {"x": torch.randn(n, 2)}])
def test_other_data(cls, rows):
    if cls is ReplayBuffer:
        check_buffer(maker("lazy", cls=cls, writer="plain"), rows)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(1, 14)),
        st.tuples(st.just("sample"), st.integers(1, 9)),
        st.tuples(st.just("update"), st.integers(1, 9)),
        st.tuples(st.sampled_from(["empty", "reload"]), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(
    storage=st.sampled_from(["list", "lazy", "memmap", "stack", "compressed", "flat"]),
    sampler=st.sampled_from(["random", "epochs", "prioritized", "consuming", "fresh"]),
    writer=st.sampled_from(["plain", "generations"]),
    history=OPERATIONS,
)
def test_any_history(storage, sampler, writer, history):
    check_history(maker(storage, sampler, writer), td, history)


@settings(max_examples=15, deadline=None)
@given(
    sampler=st.sampled_from(["random", "epochs", "prioritized"]),
    checkpointer=st.sampled_from([None, FlatStorageCheckpointer, NestedStorageCheckpointer]),
    memmap=st.booleans(),
    history=OPERATIONS,
)
def test_any_history_in_two_dimensions(sampler, checkpointer, memmap, history):
    def make():
        cls = LazyMemmapStorage if memmap else LazyTensorStorage
        return TensorDictReplayBuffer(
            storage=cls(24, ndim=2, checkpointer=checkpointer and checkpointer()),
            sampler=PrioritizedSampler(24, 0.7, 0.5)
            if sampler == "prioritized"
            else SAMPLERS[sampler],
            batch_size=4,
        )

    check_history(make, lambda n: torch.stack([td(n), td(n)]), history)


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


class Grabby(LazyTensorStorage):
    """Hands out its own memory."""

    def get(self, index):
        return self.columns.view(slice(0, len(index)), self.num_rows)


class Shifted(LazyTensorStorage):
    """Returns the neighbours of what is asked."""

    def get(self, index):
        return super().get((index + 1) % len(self))


class Stuck(RoundRobinWriter):
    """Starts over too early."""

    def extend(self, data):
        self._cursor %= 5
        return super().extend(data)


class Boundless(RoundRobinWriter):
    """Takes more than there is room for."""

    def extend(self, data):
        room = self.storage.room_for(data)
        return super().extend({key: value[-room:] for key, value in data.items()})


class Credulous(PrioritizedSampler):
    """Takes any priority."""

    def update_priority(self, index, priority, *, storage=None):
        clean = torch.as_tensor(priority).nan_to_num(0, 1, 0).abs()
        super().update_priority(index, clean, storage=storage)


class Trusting(LazyTensorStorage):
    """Loads without a look at the rows."""

    def read_rows(self, folder, described):
        super().read_rows(folder, described)
        self.columns.tensors[0][0] += 1


LONG = [("extend", 6), ("extend", 9), ("extend", 6), ("sample", 8), ("update", 3), ("reload", 0)]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"storage": Shifted}, "other rows than its index names"),
        ({"storage": Grabby, "sampler": lambda: First()}, "shares memory"),
        ({"storage": Trusting}, "not those that were written last"),
        ({"writer": Stuck}, "the buffer has 10 rows, not 12"),
        ({"sampler": Credulous}, "the priority -1.0 was taken"),
    ],
)
def test_broken_parts_are_found(broken, message):
    make = {
        "storage": lambda: broken.get("storage", LazyTensorStorage)(12),
        "sampler": lambda: Credulous(12, 1.0, 1.0),
        **{key: value for key, value in broken.items() if key == "writer"},
    }
    if broken.get("sampler") not in (None, Credulous):
        make["sampler"] = broken["sampler"]
    elif "sampler" not in broken:
        make["sampler"] = RandomSampler
    with pytest.raises(RLError, match=message):
        check_history(lambda: ReplayBuffer(**make), lambda n: {"x": torch.randn(n)}, LONG)


class First(RandomSampler):
    def sample(self, storage, batch_size):
        return torch.arange(min(batch_size, len(storage))), {}


def test_a_writer_that_takes_too_much_is_found():
    with pytest.raises(RLError, match="more rows than the capacity were taken"):
        check_history(
            lambda: ReplayBuffer(storage=LazyTensorStorage(4), writer=Boundless()),
            lambda n: {"x": torch.randn(n)},
            [("extend", 3), ("extend", 6)],
        )


def test_a_copy_that_shares_its_rows_is_found():
    class Aliased(LazyTensorStorage):
        def __deepcopy__(self, memo):
            return self

    with pytest.raises(RLError, match="copy of the buffer changed it"):
        check_buffer(
            lambda generator, prefetch: ReplayBuffer(
                storage=Aliased(12), batch_size=4, generator=generator, prefetch=prefetch
            ),
            lambda n: {"x": torch.randn(n)},
        )
