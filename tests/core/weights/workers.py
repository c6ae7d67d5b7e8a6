"""What the worker processes of these tests run."""

import multiprocessing

import torch
from torch import nn

from rl.core.weights import WeightStrategy
from rl.core.weights.versioned import checksum


def make_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def make_wide(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))


def digest(module):
    return checksum(WeightStrategy().stamp(module, 0).tensordict)


def obey(scheme, index, pipe, make=make_net):
    """Do what the pipe says, and answer with the result or the error's text."""
    torch.set_num_threads(1)
    model = make()
    calls = {
        "connect": lambda: (
            scheme.init_on_receiver(model=model),
            scheme.connect(worker_idx=index),
            scheme.version,
        )[-1],
        "receive": lambda timeout=None: scheme.receive(timeout) is not None,
        "state": lambda: (scheme.version, digest(model)),
        "address": lambda: [p.data_ptr() for p in model.parameters()],
        "shutdown": scheme.shutdown,
    }
    while True:
        call, args = pipe.recv()
        try:
            result = calls[call](*args)
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        pipe.send(result)


def obey_wide(scheme, index, pipe):
    obey(scheme, index, pipe, make_wide)


def swallow(scheme, index, pipe):
    """Receive as fast as it goes, and say after each update whether it is whole."""
    torch.set_num_threads(1)
    model = nn.Linear(200, 200)
    scheme.init_on_receiver(model=model)
    scheme.connect(worker_idx=index)
    pipe.send("ready")
    seen, torn = [], 0
    while not pipe.poll(0):
        if scheme.receive(timeout=0.01) is None:
            continue
        # every element of an update has the update's number
        values = torch.cat([model.weight.flatten(), model.bias])
        torn += int((values != values[0]).any())
        seen.append(scheme.version)
    pipe.send((seen, torn, float(model.weight[0, 0])))
    pipe.recv()
    pipe.poll(60)


def send_until_killed(kind, pipe):
    """Start a receiver that speaks to the test, and send to it without end."""
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    scheme = kind(sync=False)
    scheme.init_on_sender(model=nn.Linear(700, 700), num_workers=1, ctx=context)
    receiver = context.Process(target=receive_until_error, args=(scheme, pipe))
    receiver.start()
    scheme.connect()
    while True:
        scheme.send()


def receive_until_error(scheme, pipe):
    """Tell one version that came, and then the error that ended the receiving."""
    model = nn.Linear(700, 700)
    scheme.init_on_receiver(model=model)
    scheme.connect(worker_idx=0)
    pipe.send(scheme.version)
    try:
        while True:
            scheme.receive()
    except Exception as error:
        pipe.send((f"{type(error).__name__}: {error}", scheme.version))
