"""Recurrent modules over sequences and step by step, beside the framework's own networks."""

import statistics
import time

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core import GRUModule, LSTMModule, set_recurrent_mode

B, T, F, H = 64, 128, 32, 128
KINDS = {"lstm": (LSTMModule, nn.LSTM, nn.LSTMCell), "gru": (GRUModule, nn.GRU, nn.GRUCell)}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def batch(module, shape, rate):
    is_init = torch.rand(*shape, 1) < rate
    td = TensorDict(observation=torch.randn(*shape, F), is_init=is_init, batch_size=shape)
    return td.update(module.initial_state(shape))


def trained_over(module, data):
    def step():
        with set_recurrent_mode(True):
            module(data.copy())["features"].sum().backward()

    return step


@pytest.mark.benchmark(group="sequences")
def test_framework(benchmark, kind):
    net, x = kind[1](F, H, batch_first=True), torch.randn(B, T, F)
    benchmark(lambda: net(x)[0].sum().backward())


@pytest.mark.benchmark(group="sequences")
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05], ids="resets={}".format)
def test_module(benchmark, kind, rate):
    module = kind[0](F, H, in_key="observation", out_key="features")
    benchmark(trained_over(module, batch(module, [B, T], rate)))


@pytest.mark.parametrize("rate", [0.0, 0.05], ids="resets={}".format)
@pytest.mark.parametrize("train", [False, True], ids=["forward", "both"])
def test_module_beside_the_kernel(kind, rate, train):
    module = kind[0](F, H, in_key="observation", out_key="features")
    data = batch(module, [B, 32], rate)
    net, x = kind[1](F, H, batch_first=True), data["observation"]

    def ours():
        with set_recurrent_mode(True):
            finish(module(data.copy())["features"])

    def kernel():
        finish(net(x)[0])

    def finish(out):
        if train:
            out.sum().backward()

    with torch.set_grad_enabled(train):
        ratio = median_ratio(ours, kernel)
    print(f"\n{ratio:.2f}")  # noqa: T201
    # 1.3 without resets and about 2 with them, and room: a shared machine is not a stopwatch
    assert ratio <= (1.3 if rate == 0.0 else 2.0) * 1.5


def median_ratio(ours, theirs, turns=9):
    found = []
    for _ in range(turns):
        times = []
        for function in (ours, theirs):
            begin = time.perf_counter()
            function()
            times.append(time.perf_counter() - begin)
        found.append(times[0] / times[1])
    return statistics.median(found)


@pytest.mark.benchmark(group="steps")
def test_framework_step(benchmark, kind):
    cell, x = kind[2](F, H), torch.randn(8, F)
    state = torch.zeros(8, H)
    state = (state, state) if kind[2] is nn.LSTMCell else state
    with torch.no_grad():
        benchmark(cell, x, state)


@pytest.mark.benchmark(group="steps")
def test_module_step(benchmark, kind):
    module = kind[0](F, H, in_key="observation", out_key="features")
    data = batch(module, [8], 0.0)
    with torch.no_grad():
        benchmark(lambda: module(data))
