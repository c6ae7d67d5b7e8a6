"""A pool of worker processes: the backend of `ParallelEnv`."""

from __future__ import annotations

import itertools
import mmap
import os
import pickle
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import torch

from rl.core import RLError, WorkerError
from rl.core.logging import warn
from rl.core.seeding import seed_generator
from rl.envs.base import EnvBase
from rl.envs.vector.channel import Channel, ChannelClosedError, ChannelTimeoutError
from rl.envs.vector.group import Attribute, EnvMeta
from rl.envs.vector.launch import Process, launch
from rl.envs.vector.shared_buffers import Buffers, Layout, anonymous_file
from rl.envs.vector.worker import (
    COMMAND,
    DONE,
    FAILED,
    RESET_MASKED,
    STEP,
    STEP_MASKED,
    Failure,
    Setup,
)

__all__ = ["WorkerPool"]

_PHASES = {STEP: "step", STEP_MASKED: "step", RESET_MASKED: "reset"}
#: how long `close` waits for a worker to end by itself
_CLOSE_TIMEOUT_S = 5.0
#: how often a waiting pool looks whether its worker still runs, should a child of it hold the pipe
#: open
_WATCH_S = 1.0

_pool_numbers = itertools.count()


@dataclass(eq=False)
class _Worker:
    rows: range
    process: Process
    channel: Channel


class WorkerPool:
    """Runs envs in worker processes, several per process, over shared memory.

    One byte per process starts a step, one answers it. A worker that raises, dies or does not
    answer in time is a `WorkerError` in this process. Workers end when this process does.

    Args:
        makers: one function per env.
        num_processes: number of worker processes.
        start_method: "forkserver", "spawn" or "fork".
        num_threads: torch threads per worker.
        timeout_s: the longest wait for an answer.
        restart: start a failed worker again, its episodes truncated, instead of raising.
        spins: see `Channel`.

    Raises:
        WorkerError: an env cannot be made.
    """

    def __init__(
        self,
        makers: Sequence[Callable[[], EnvBase]],
        *,
        num_processes: int,
        start_method: str,
        num_threads: int,
        timeout_s: float,
        restart: bool,
        spins: int = 0,
    ) -> None:
        self.num_rows = len(makers)
        self._makers = list(makers)
        self._start_method = start_method
        self._num_threads = num_threads
        self._timeout_s = timeout_s
        self._restart = restart
        self._spins = spins
        self._seeds = itertools.count(
            torch.initial_seed() % 2**31 + 1_000_003 * next(_pool_numbers)
        )
        self._memory_fd = anonymous_file()
        self._buffers: Buffers | None = None
        self._stripped = False
        self._broken: str | None = None
        self._workers: list[_Worker] = []
        self._finalizer = weakref.finalize(
            self, _shut_down, self._workers, self._memory_fd, os.getpid()
        )
        self._env_seeds: dict[int, int] = {}
        try:
            for rows in _split(self.num_rows, num_processes):
                self._workers.append(self._start(rows))
            answers = [self._answer(worker, "creation") for worker in self._workers]
        except BaseException:
            self.close()
            raise
        self.metas: list[EnvMeta] = [meta for answer in answers for meta in answer]

    # ---------------------------------------------------------------- workers

    def _start(self, rows: range) -> _Worker:
        ours_read, theirs_write = os.pipe()
        theirs_read, ours_write = os.pipe()
        descriptors = [theirs_read, theirs_write, self._memory_fd]
        try:
            process = launch(self._start_method, descriptors)
        except BaseException:
            os.close(ours_read)
            os.close(ours_write)
            raise
        finally:
            os.close(theirs_read)
            os.close(theirs_write)
        worker = _Worker(rows, process, Channel(ours_read, ours_write, self._spins))
        setup = Setup(
            spins=self._spins,
            sys_path=[path or os.getcwd() for path in sys.path],
            cwd=os.getcwd(),
            environ=dict(os.environ),
            makers=_pickled([self._makers[row] for row in rows]),
            first_row=rows.start,
            num_threads=self._num_threads,
            seed=next(self._seeds),
        )
        self._guarded(worker, "creation", lambda: self._send(worker, pickle.dumps(setup)))
        return worker

    def _send(self, worker: _Worker, payload: bytes) -> None:
        worker.channel.send(COMMAND, payload, self._timeout_s)

    def _guarded(self, worker: _Worker, phase: str, function: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Run `function`; a channel that ends or stays silent is a WorkerError."""
        try:
            return function()
        except ChannelClosedError:
            reason = "its process died (killed, out of memory, or it crashed outside of Python)"
        except ChannelTimeoutError:
            reason = f"no answer within {self._timeout_s:g} s (`timeout_s`)"
        worker.process.kill()
        self._broken = self._message(worker.rows, phase, reason)
        raise WorkerError(self._broken)

    def _message(self, rows: range, phase: str, reason: str) -> str:
        who = f"Worker {rows.start}" if len(rows) == 1 else f"Workers {rows.start}-{rows.stop - 1}"
        return f"{who} of {self.num_rows} stopped in `{phase}`: {reason}."

    def _receive_code(self, worker: _Worker) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return worker.channel.receive_code(min(_WATCH_S, self._timeout_s))
            except ChannelTimeoutError:
                if not worker.process.is_alive():
                    raise ChannelClosedError from None
                if time.monotonic() > deadline:
                    raise

    def _answer(self, worker: _Worker, phase: str) -> Any:  # noqa: ANN401
        """Return the worker's answer to a command.

        Raises:
            WorkerError: the worker raised, died or is silent.
        """

        def read() -> tuple[bytes, bytes]:
            code = self._receive_code(worker)
            return code, worker.channel.receive_payload(self._timeout_s)

        code, payload = self._guarded(worker, phase, read)
        if code == FAILED:
            raise self._error(worker, phase, pickle.loads(payload))
        return pickle.loads(payload)

    def _error(self, worker: _Worker, phase: str, failure: Failure) -> WorkerError:
        rows = worker.rows if failure.row is None else range(failure.row, failure.row + 1)
        message = self._message(rows, phase, failure.error.rstrip("."))
        return WorkerError(f"{message} Its traceback follows.\n\n{failure.text}")

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise WorkerError(
                f"The vector env can no longer be used: {self._broken} Close it and build a new "
                'one, or build it with `on_worker_failure="restart"`.'
            )

    # ------------------------------------------------------------- the slots

    def bind(self, layout: Layout) -> Buffers:
        """Exchange data through shared buffers of this layout, and return them."""
        os.ftruncate(self._memory_fd, layout.num_bytes)
        self._buffers = Buffers(layout, mmap.mmap(self._memory_fd, layout.num_bytes))
        self._command_all("bind", (layout,))
        return self._buffers

    def step(self) -> None:
        """Step every env from its row of the buffers."""
        self._signal(STEP)

    def step_masked(self) -> None:
        """Step the envs that the mask of the buffers selects."""
        self._signal(STEP_MASKED)

    def reset_masked(self) -> None:
        """Reset the envs that the mask of the buffers selects."""
        self._signal(RESET_MASKED)

    def _signal(self, code: bytes) -> None:
        if self._broken is not None:
            self._check_usable()
        failed: list[tuple[_Worker, WorkerError]] = []
        asked = []
        for worker in self._workers:
            try:
                worker.channel.send_code(code)
                asked.append(worker)
            except ChannelClosedError:
                failed.append((worker, self._lost(worker, code)))
        for worker in asked:
            try:
                if self._receive_code(worker) != DONE:
                    payload = worker.channel.receive_payload(self._timeout_s)
                    failed.append(
                        (worker, self._error(worker, _PHASES[code], pickle.loads(payload)))
                    )
            except (ChannelClosedError, ChannelTimeoutError) as error:
                failed.append((worker, self._lost(worker, code, error)))
        if failed:
            self._recover(code, failed)

    def _lost(self, worker: _Worker, code: bytes, error: Exception | None = None) -> WorkerError:
        def again() -> None:
            raise error or ChannelClosedError

        try:
            self._guarded(worker, _PHASES[code], again)
        except WorkerError as lost:
            return lost
        raise AssertionError  # `again` always raises

    def _recover(self, code: bytes, failed: list[tuple[_Worker, WorkerError]]) -> None:
        if not self._restart:
            raise failed[0][1]
        self._broken = None
        for worker, error in failed:
            warn(f"{error} It is started again.", RuntimeWarning, stacklevel=2)
            self._replace(worker)
            if code == RESET_MASKED:
                worker.channel.send_code(code)
                if self._guarded(worker, "reset", lambda w=worker: self._receive_code(w)) != DONE:
                    payload = worker.channel.receive_payload(self._timeout_s)
                    raise self._error(worker, "reset", pickle.loads(payload))
            else:
                self._truncate(worker.rows, only_masked=code == STEP_MASKED)

    def _replace(self, worker: _Worker) -> None:
        """Start the worker again, seeded anew."""
        worker.process.kill()
        worker.channel.close()
        fresh = self._start(worker.rows)
        worker.process, worker.channel = fresh.process, fresh.channel
        self._answer(worker, "creation")
        if self._stripped:
            self._command(worker, "strip", ())
            self._answer(worker, "creation")
        self._command(worker, "bind", (self._buffers.layout,))
        self._answer(worker, "creation")
        for row in worker.rows:
            if row in self._env_seeds:
                self._env_seeds[row] = seed_generator(self._env_seeds[row])
                self.call([row], "set_seed", [(self._env_seeds[row],)], {})

    def _truncate(self, rows: range, *, only_masked: bool) -> None:
        """End the episodes of lost envs: their last observation stands, the reward is zero."""
        for row in rows:
            if only_masked and not self._buffers.mask[row]:
                continue
            for path, array in self._buffers.arrays["next"].items():
                if path[-1] in ("done", "truncated"):
                    array[row] = True
                elif path[-1] in ("terminated", "reward"):
                    array[row] = 0

    # ------------------------------------------------------------- commands

    def strip(self) -> list[EnvMeta]:
        """Leave the transforms to the vector env; return what the bare envs are like."""
        self._stripped = True
        answers = self._command_all("strip", ())
        self.metas = [meta for answer in answers for meta in answer]
        return self.metas

    def _command(self, worker: _Worker, name: str, args: tuple) -> None:
        payload = cloudpickle.dumps((name, args))
        self._guarded(worker, name, lambda: self._send(worker, payload))

    def _command_all(self, name: str, args: tuple) -> list:
        self._check_usable()
        for worker in self._workers:
            self._command(worker, name, args)
        return self._answers(self._workers, name)

    def _answers(self, workers: Sequence[_Worker], phase: str) -> list:
        """Return every worker's answer; the first error is raised after all have answered."""
        answers, errors = [], []
        for worker in workers:
            try:
                answers.append(self._answer(worker, phase))
            except WorkerError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return answers

    def call(self, rows: Sequence[int], name: str, args: Sequence[tuple], kwargs: dict) -> list:
        """Call a method of some envs; they run at the same time."""
        given = dict(zip(rows, args, strict=True))
        if name == "set_seed":
            self._env_seeds.update(
                {row: arg[0] for row, arg in given.items() if arg[0] is not None}
            )
        asked = self._ask(
            rows, lambda mine: ("call", (mine, name, [given[row] for row in mine], kwargs))
        )
        return self._gather(asked, name, rows)

    def read(self, rows: Sequence[int], name: str) -> list[Attribute]:
        """Look an attribute of some envs up."""
        asked = self._ask(rows, lambda mine: ("read", (mine, name)))
        return self._gather(asked, name, rows)

    def _ask(
        self, rows: Sequence[int], command: Callable[[list[int]], tuple[str, tuple]]
    ) -> list[tuple[_Worker, list[int]]]:
        self._check_usable()
        asked = []
        for worker in self._workers:
            mine = [row for row in rows if row in worker.rows]
            if mine:
                self._command(worker, *command(mine))
                asked.append((worker, mine))
        return asked

    def _gather(
        self, asked: Sequence[tuple[_Worker, list[int]]], phase: str, rows: Sequence[int]
    ) -> list:
        answers = self._answers([worker for worker, _ in asked], phase)
        results = {
            row: result
            for (_, mine), answer in zip(asked, answers, strict=True)
            for row, result in zip(mine, answer, strict=True)
        }
        return [results[row] for row in rows]

    @property
    def pids(self) -> list[int]:
        """The id of each worker process."""
        return [worker.process.pid for worker in self._workers]

    def close(self) -> None:
        """End every worker and free the shared memory; closing twice is harmless."""
        self._finalizer()


def _shut_down(workers: list[_Worker], memory_fd: int, owner: int) -> None:
    """Ask every worker to close, and end at once those that do not within a few seconds."""
    if os.getpid() != owner:  # a fork of the process that owns the workers
        return
    for worker in workers:
        try:
            worker.channel.send(COMMAND, pickle.dumps(("close", ())), _WATCH_S)
        except (ChannelClosedError, ChannelTimeoutError):
            worker.process.kill()
    deadline = time.monotonic() + _CLOSE_TIMEOUT_S
    for worker in workers:
        if not worker.process.join(max(0.0, deadline - time.monotonic())):
            worker.process.kill()
        worker.channel.close()
    workers.clear()
    os.close(memory_fd)


def _split(num_rows: int, num_processes: int) -> list[range]:
    """Return contiguous ranges of rows whose sizes differ by one at most."""
    small, extra = divmod(num_rows, num_processes)
    bounds = [0, *itertools.accumulate(small + (i < extra) for i in range(num_processes))]
    return [range(a, b) for a, b in itertools.pairwise(bounds)]


def _pickled(makers: list[Callable[[], EnvBase]]) -> bytes:
    try:
        return cloudpickle.dumps(makers)
    except Exception as error:
        raise RLError(
            f"An env maker cannot be sent to a worker process ({type(error).__name__}: {error}): "
            "give `ParallelEnv` a function that builds the env, and nothing that belongs to this "
            "process."
        ) from error
