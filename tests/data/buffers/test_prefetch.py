import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.data import (
    LazyTensorStorage,
    PrioritizedSampler,
    RandomSampler,
    ReplayBuffer,
    SamplerWithoutReplacement,
)

SAMPLERS = [RandomSampler, SamplerWithoutReplacement, lambda: PrioritizedSampler(12, 0.8, 0.5)]
STEPS = st.lists(
    st.sampled_from(
        ["sample", "sample", "sample", "extend", "update", "beta", "small", "draw", "seed", "set"]
    ),
    max_size=25,
)


def make(sampler, prefetch, generator=None, **kwargs):
    rb = ReplayBuffer(
        storage=LazyTensorStorage(12),
        sampler=sampler,
        batch_size=4,
        prefetch=prefetch,
        generator=generator,
        **kwargs,
    )
    rb.extend({"x": torch.arange(8)})
    return rb


def run(rb, steps, generator):
    seen, written = [], 8
    for step in steps:
        if step in ("sample", "small"):
            data, info = rb.sample(3 if step == "small" else None, return_info=True)
            seen += [data["x"].tolist(), info["index"].tolist(), rb.sampler.ran_out]
            seen.append(info.get("priority_weight", torch.zeros(0)).tolist())
        elif step == "extend":
            rb.extend({"x": torch.arange(written, written + 2)})
            written += 2
        elif step == "update":
            rb.update_priority(torch.arange(4), torch.tensor([0.1, 3.0, 0.5, 1.0]))
        elif step == "beta" and isinstance(rb.sampler, PrioritizedSampler):
            rb.sampler.beta += 0.01
        elif step == "draw":  # another user of the same random numbers
            seen.append(torch.rand((), generator=generator).item())
        elif step == "seed":
            (generator or torch.random.default_generator).manual_seed(5)
        elif step == "set":
            rb[0:2] = {"x": torch.tensor([100, 101])}
    rb.shutdown()
    return seen


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SAMPLERS), st.integers(1, 4), STEPS, st.booleans())
def test_prefetching_never_changes_a_result(sampler, depth, steps, own_generator):
    results = []
    for prefetch in (None, depth):
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(1) if own_generator else None
        results.append(run(make(sampler, prefetch, generator), steps, generator))
    assert results[0] == results[1]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_batches_without_a_write_between_are_prefetched(sampler):
    rb = make(sampler, 3)
    for _ in range(12):
        rb.sample()
    assert rb._prefetcher.hits >= 8
    rb.shutdown()


def test_a_loop_that_updates_after_each_batch_makes_no_guess():
    rb = make(SAMPLERS[2], 3)
    for _ in range(5):
        _, info = rb.sample(return_info=True)
        rb.update_priority(info["index"], 1.0)
    assert rb._prefetcher.hits == 0
    assert rb._prefetcher._pool is None


def test_rows_are_fetched_in_threads():
    names = set()

    def collate(data):
        names.add(threading.current_thread().name)
        return data

    rb = make(RandomSampler, 2, collate_fn=collate)
    for _ in range(6):
        rb.sample()
    assert any(name.startswith("rl-prefetch") for name in names)
    rb.shutdown()
    assert not [t for t in threading.enumerate() if t.name.startswith("rl-prefetch")]
    assert rb.sample()["x"].shape == (4,)
    rb.shutdown()


def test_an_error_in_a_thread_reaches_the_caller():
    calls = []

    def collate(data):
        calls.append(1)
        if len(calls) > 2:
            raise ZeroDivisionError("collate")
        return data

    rb = make(RandomSampler, 1, collate_fn=collate)
    rb.sample()
    rb.sample()  # the next batch is begun, and fails, in a thread
    with pytest.raises(ZeroDivisionError, match="collate"):
        rb.sample()
    rb.shutdown()
