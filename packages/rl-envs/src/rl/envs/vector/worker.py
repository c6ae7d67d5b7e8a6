"""The worker process: runs a group of envs at the bidding of a `WorkerPool`."""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import pickle
import random
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import numpy as np
import torch

from rl.envs.vector.channel import Channel, ChannelClosedError
from rl.envs.vector.group import EnvGroup, RowError
from rl.envs.vector.shared_buffers import Buffers, Layout

__all__ = ["Failure", "Setup", "main"]

#: codes of messages to a worker; the first three have no payload
STEP, STEP_MASKED, RESET_MASKED, COMMAND = b"s", b"p", b"r", b"c"
#: codes of answers; the last two have a payload
DONE, RESULT, FAILED = b"k", b"v", b"e"


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know before it can unpickle its envs.

    Attributes:
        sys_path: where modules are found.
        cwd: the working directory.
        environ: the environment variables.
        makers: the pickled list of functions that make the envs.
        first_row: row of the first env.
        num_threads: torch threads of the worker.
        seed: seeds python, numpy and torch, so that workers differ.
        spins: see `Channel`.
    """

    sys_path: list[str]
    cwd: str
    environ: dict[str, str]
    makers: bytes
    first_row: int
    num_threads: int
    seed: int
    spins: int


@dataclass(frozen=True)
class Failure:
    """An error of a worker.

    Attributes:
        row: the env that raised, or None when none did.
        error: class and message of the error.
        text: the traceback.
    """

    row: int | None
    error: str
    text: str


@dataclass
class _State:
    channel: Channel
    memory_fd: int
    group: EnvGroup | None = None
    memory: mmap.mmap | None = None
    actions: dict[bytes, Callable[[], None]] = field(default_factory=dict)


def main(read_fd: int, write_fd: int, memory_fd: int) -> None:
    """Serve the pool at the other end of the pipes until it says stop, or is gone.

    Args:
        read_fd: messages from the pool.
        write_fd: answers to the pool.
        memory_fd: the file that holds the shared buffers.
    """
    # Ctrl-C reaches the whole process group: the pool closes its workers itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    state = _State(Channel(read_fd, write_fd), memory_fd)
    try:
        setup: Setup = pickle.loads(_receive(state.channel))
        state.channel.spins = setup.spins
        _enter(setup)
        if not _answer(state, lambda: _build(state, setup)):
            return
        _serve(state)
    except ChannelClosedError:
        pass
    finally:
        if state.group is not None:
            with contextlib.suppress(Exception):
                state.group.close()


def _receive(channel: Channel) -> bytes:
    channel.receive_code(None)
    return channel.receive_payload(None)


def _enter(setup: Setup) -> None:
    sys.path[:] = setup.sys_path
    os.environ.clear()
    os.environ.update(setup.environ)
    with contextlib.suppress(OSError):
        os.chdir(setup.cwd)
    torch.set_num_threads(setup.num_threads)
    torch.manual_seed(setup.seed)
    random.seed(setup.seed)
    np.random.seed(setup.seed % 2**32)


def _build(state: _State, setup: Setup) -> Any:  # noqa: ANN401
    makers = pickle.loads(setup.makers)
    state.group = EnvGroup(makers, setup.first_row)
    return state.group.describe()


def _serve(state: _State) -> None:
    channel = state.channel
    while True:
        code = channel.receive_code(None)
        action = state.actions.get(code)
        if action is not None:
            try:
                action()
            except Exception as error:
                _send_failure(channel, error)
            else:
                channel.send_code(DONE)
            continue
        name, args = pickle.loads(channel.receive_payload(None))
        if name == "close":
            _answer(state, state.group.close)
            return
        _answer(state, functools.partial(_command, state, name, args))


def _command(state: _State, name: str, args: tuple) -> Any:  # noqa: ANN401
    if name == "bind":
        return _bind(state, *args)
    return getattr(state.group, name)(*args)


def _bind(state: _State, layout: Layout) -> None:
    state.memory = mmap.mmap(state.memory_fd, layout.num_bytes)
    group = state.group
    group.bind(Buffers(layout, state.memory))
    state.actions = {
        STEP: group.step,
        STEP_MASKED: group.step_masked,
        RESET_MASKED: group.reset_masked,
    }


def _answer(state: _State, function: Callable[[], Any]) -> bool:
    try:
        payload = cloudpickle.dumps(function())
    except Exception as error:
        _send_failure(state.channel, error)
        return False
    state.channel.send(RESULT, payload, timeout_s=600.0)
    return True


def _send_failure(channel: Channel, error: Exception) -> None:
    row = None
    if isinstance(error, RowError):
        row, cause = error.row, error.__cause__
    else:
        cause = error
    text = "".join(traceback.format_exception(cause))
    failure = Failure(row, f"{type(cause).__name__}: {cause}", text)
    channel.send(FAILED, pickle.dumps(failure), timeout_s=600.0)
