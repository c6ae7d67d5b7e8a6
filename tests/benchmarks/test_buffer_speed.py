"""Replay buffers beside the code that a good engineer writes by hand, in one run."""

import statistics
import time

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.data import LazyTensorStorage, PrioritizedSampler, TensorDictReplayBuffer

CAPACITY, BATCH, OBS, ACTION = 1_000_000, 256, 17, 6
FLICKER = 1.5  # the bars below are met with room; a shared machine is not a stopwatch


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rows(n):
    return TensorDict(
        {
            "observation": torch.randn(n, OBS),
            "action": torch.rand(n, ACTION),
            "next": {
                "observation": torch.randn(n, OBS),
                "reward": torch.randn(n, 1),
                "done": torch.zeros(n, 1, dtype=torch.bool),
                "terminated": torch.zeros(n, 1, dtype=torch.bool),
            },
        },
        [n],
    )


def buffer(**kwargs):
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(CAPACITY), batch_size=BATCH, **kwargs)
    chunk = rows(100_000)
    for _ in range(CAPACITY // 100_000):
        rb.extend(chunk)
    return rb


@pytest.fixture(scope="module")
def uniform():
    return buffer()


@pytest.fixture(scope="module")
def by_hand():
    """The columns of a hand-written buffer."""
    return [value.clone() for value in rows(CAPACITY).values(True, True)]


def gather(columns):
    index = torch.randint(CAPACITY, (BATCH,))
    return [column[index] for column in columns]


def pairwise_ratio(ours, theirs, calls=200, turns=7):
    """Median over turns of the ratio of times, both sides in each turn."""
    ratios = []
    for _ in range(turns):
        times = []
        for function in (ours, theirs):
            begin = time.perf_counter()
            for _ in range(calls):
                function()
            times.append(time.perf_counter() - begin)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def report(benchmark, name, ratio):
    benchmark.extra_info[name] = round(ratio, 2)
    print(f"\n{name}: {ratio:.2f}")  # noqa: T201 (the result of a benchmark)


def test_uniform_sample(benchmark, uniform, by_hand):
    ratio = pairwise_ratio(uniform.sample, lambda: gather(by_hand))
    benchmark.pedantic(uniform.sample, rounds=20, iterations=20)
    report(benchmark, "uniform sample / hand-written gather", ratio)
    assert ratio <= 1.1 * FLICKER


def test_uniform_sample_by_hand(benchmark, by_hand):
    benchmark.pedantic(lambda: gather(by_hand), rounds=20, iterations=20)


def test_extend_by_8_rows(benchmark, by_hand):
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(100_000))
    data, cursor = rows(8), 0
    rb.extend(data)

    def write_by_hand():
        nonlocal cursor
        cursor = (cursor + 8) % (CAPACITY - 8)
        for column, value in zip(by_hand, data.values(True, True), strict=True):
            column[cursor : cursor + 8] = value

    ratio = pairwise_ratio(lambda: rb.extend(data), write_by_hand)
    benchmark.pedantic(lambda: rb.extend(data), rounds=20, iterations=20)
    report(benchmark, "extend by 8 rows / hand-written", ratio)
    # the floor is a handful of slice assignments; TorchRL takes about ten times as long
    assert ratio <= 4.0 * FLICKER


def test_prioritized_sample_and_update(benchmark, by_hand):
    rb = buffer(sampler=PrioritizedSampler(CAPACITY, alpha=0.6, beta=0.4))

    def ours():
        batch = rb.sample()
        batch["td_error"] = torch.rand(BATCH)
        rb.update_tensordict_priority(batch)

    tree = np.zeros(2 * 2**20)
    tree[2**20 : 2**20 + CAPACITY] = 1.0
    for level in range(19, -1, -1):
        nodes = slice(2**level, 2 ** (level + 1))
        tree[nodes] = tree[2 ** (level + 1) : 2 ** (level + 2)].reshape(-1, 2).sum(1)

    def binary_tree_by_hand():
        value, node = np.random.rand(BATCH) * tree[1], np.ones(BATCH, np.int64)
        for _ in range(20):
            node *= 2
            right = value >= tree[node]
            value -= np.where(right, tree[node], 0.0)
            node += right
        index = torch.from_numpy(node - 2**20).clamp_(max=CAPACITY - 1)
        batch = [column[index] for column in by_hand]
        tree[node] = np.random.rand(BATCH) ** 0.6
        for _ in range(20):
            node = node // 2
            tree[node] = tree[2 * node] + tree[2 * node + 1]
        return batch

    ratio = pairwise_ratio(ours, binary_tree_by_hand, calls=100)
    benchmark.pedantic(ours, rounds=20, iterations=20)
    report(benchmark, "prioritised sample and update / vectorised binary tree", ratio)
    assert ratio <= 1.0 * FLICKER
