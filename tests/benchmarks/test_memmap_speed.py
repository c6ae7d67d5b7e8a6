"""Sampling images from memory-mapped files beside numpy's own memory map, in one run."""

import statistics
import time

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.data import LazyMemmapStorage, TensorDictReplayBuffer

# 564 MB, far above any cache; the figures in docs/results/speed.md are of 50 000 rows
ROWS, BATCH, IMAGE = 20_000, 256, (4, 84, 84)
BAR = 1.5
FLICKER = 1.3  # a shared machine is not a stopwatch


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pair(tmp_path):
    """A buffer over a file, and a sampler of the same file that numpy maps."""
    storage = LazyMemmapStorage(ROWS, scratch_dir=tmp_path, auto_cleanup=True)
    rb = TensorDictReplayBuffer(storage=storage, batch_size=BATCH)
    rows = TensorDict(
        pixels=torch.randint(256, (2000, *IMAGE), dtype=torch.uint8), batch_size=[2000]
    )
    for _ in range(ROWS // 2000):
        rb.extend(rows)
    (file,) = tmp_path.glob("*.memmap")
    mapped = np.memmap(file, np.uint8, "r", shape=(ROWS, *IMAGE))
    np.testing.assert_array_equal(mapped[-3:], rows["pixels"][-3:])
    mapped.max()  # the first touch of a page is slow; the buffer has touched its own by writing
    rng = np.random.default_rng(0)
    yield rb, lambda: mapped[rng.integers(ROWS, size=BATCH)]
    file.unlink(missing_ok=True)


def test_sample_images(benchmark, pair):
    rb, by_numpy = pair
    ratios = []
    for _ in range(15):
        times = []
        for function in (rb.sample, by_numpy):
            begin = time.perf_counter()
            for _ in range(5):
                function()
            times.append(time.perf_counter() - begin)
        ratios.append(times[0] / times[1])
    ratio = statistics.median(ratios)
    benchmark.extra_info["ours / numpy memmap"] = round(ratio, 2)
    benchmark.pedantic(rb.sample, rounds=20, iterations=5)
    print(f"\nours / numpy memmap: {ratio:.2f}")  # noqa: T201
    assert ratio <= BAR * FLICKER
