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
CONTEXT.set_forkserver_preload(["rl.core", "tests.core.weights.workers"])

SCHEMES = {"shared": SharedMemWeightSyncScheme, "process": MultiProcessWeightSyncScheme}


def make_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture(params=SCHEMES)
def kind(request):
    """The class of each scheme that moves weights."""
    return SCHEMES[request.param]


@pytest.fixture
def net():
    return make_net(1)


@pytest.fixture
def workers():
    """Starts workers in processes of their own, and ends them."""
    started = []

    def start(target, scheme, count=1):
        for index in range(count):
            ours, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(target=target, args=(scheme, index, theirs), daemon=True)
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
