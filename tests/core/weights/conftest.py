import multiprocessing
import os
import signal
import time

import pytest
import torch
from torch import nn

from rl.core.weights import MultiProcessWeightSyncScheme, SharedMemWeightSyncScheme

# a server that has imported the library forks each worker from itself: quick, and clean of us
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["rl.core", "tests.core.weights.test_scheme"])

SCHEMES = {"shared": SharedMemWeightSyncScheme, "process": MultiProcessWeightSyncScheme}


class Counter(nn.Module):
    """Has extra state, a buffer that is not persistent, and tied parameters."""

    def __init__(self, value=0):
        super().__init__()
        self.one = nn.Linear(2, 2, bias=False)
        self.two = nn.Linear(2, 2, bias=False)
        self.two.weight = self.one.weight
        self.register_buffer("kept", torch.full((2,), float(value)))
        self.register_buffer("cache", torch.full((3,), float(value)), persistent=False)
        self.state = {"steps": value, "values": [torch.full((2,), float(value))]}

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state


@pytest.fixture(params=SCHEMES)
def kind(request):
    """The class of each scheme that moves weights."""
    return SCHEMES[request.param]


@pytest.fixture
def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture
def counter():
    """The class of a module that has a bit of everything."""
    return Counter


@pytest.fixture
def workers():
    """Starts workers in processes of their own, and ends them."""
    started = []

    def start(target, scheme, count=1, daemon=True):
        for index in range(count):
            ours, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(target=target, args=(scheme, index, theirs), daemon=daemon)
            process.start()
            theirs.close()
            started.append(Worker(process, ours))
        return started[-count:]

    yield start
    for worker in started:
        worker.kill()


class Worker:
    """A process and the pipe to it."""

    def __init__(self, process, pipe):
        self.process, self.pipe = process, pipe

    def ask(self, call, *args, timeout_s=30):
        self.tell(call, *args)
        return self.answer(timeout_s)

    def tell(self, call, *args):
        self.pipe.send((call, args))

    def answer(self, timeout_s=30):
        assert self.pipe.poll(timeout_s), "the worker is silent"
        return self.pipe.recv()

    def kill(self):
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(10)


@pytest.fixture
def elapsed():
    start = time.monotonic()
    return lambda: time.monotonic() - start
