"""The conformance kit of weight-sync schemes: does what was sent arrive, whole and confirmed?"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from rl.core.errors import WorkerError
from rl.core.weights.scheme import WeightSyncScheme
from rl.core.weights.strategy import WeightStrategy
from rl.core.weights.versioned import checksum

__all__ = ["check_weight_sync"]

#: the longest wait for an answer, and for a failure to be noticed, in seconds
_ANSWER_S, _NOTICE_S = 60.0, 10.0


class _Net(nn.Module):
    """Has tied parameters, buffers of two kinds, and several dtypes."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 3)
        self.head.weight = self.body[0].weight
        self.register_buffer("level", torch.zeros(5, dtype=torch.float16))
        self.register_buffer("cache", torch.zeros(2), persistent=False)
        self.draw(generator)

    def draw(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            for tensor in [*self.parameters(), *self.buffers()]:
                drawn = torch.rand(tensor.shape, generator=generator) * 50
                tensor.copy_(drawn.to(tensor.dtype))


def check_weight_sync(
    make: Callable[[], WeightSyncScheme],
    *,
    num_workers: int = 2,
    updates: int = 5,
    moves_weights: bool = True,
    mp_context: str = "spawn",
) -> None:
    """Raise unless what `make` returns moves weights between processes as a scheme should.

    It checks, with receivers in processes of their own, that the first weights and each update
    arrive whole and in place, with versions that grow; that the sender knows what was loaded; that
    a receiver that skips updates gets the newest; that other weights are refused before they are
    sent; that a receiver that is killed is a `WorkerError` and the others go on; and that either
    end may be shut down twice. A scheme that moves nothing (`moves_weights=False`) is checked to
    leave all modules alone.

    Args:
        make: returns a new scheme whose waits are of some seconds; called once.
        num_workers: the number of receivers, 2 or more.
        updates: how many updates are sent.
        moves_weights: whether the scheme sends anything.
        mp_context: how the receivers are started.

    Raises:
        AssertionError: names the property that does not hold.

    Example:
        >>> from rl.core.weights import NoWeightSyncScheme
        >>> check_weight_sync(NoWeightSyncScheme, moves_weights=False, mp_context="forkserver")
    """
    scheme, learner = make(), _Net(0)
    context = multiprocessing.get_context(mp_context)
    scheme.init_on_sender(model=learner, num_workers=num_workers, ctx=context)
    team = [_Receiver(context, scheme, index) for index in range(num_workers)]
    try:
        for each in team:
            each.tell("connect")
        scheme.connect()
        first = [each.answer() for each in team]
        if moves_weights:
            _check_moving(scheme, learner, team, updates, first)
        else:
            _check_resting(scheme, learner, team, first)
        for _ in range(2):
            _require(team[-1].ask("shutdown") is None, scheme, "a receiver cannot shut down twice")
            scheme.shutdown()
    finally:
        for each in team:
            each.kill()


def _require(condition: bool, scheme: WeightSyncScheme, message: str) -> None:
    if not condition:
        raise AssertionError(f"{type(scheme).__name__} conformance: {message}.")


def _check_resting(
    scheme: WeightSyncScheme, learner: _Net, team: list[_Receiver], first: list[Any]
) -> None:
    learner.draw(torch.Generator().manual_seed(1))
    scheme.send()
    now = [each.ask("receive") for each in team]
    _require(now == first, scheme, "it moves nothing, and a receiver's module changed")


def _check_moving(
    scheme: WeightSyncScheme,
    learner: _Net,
    team: list[_Receiver],
    updates: int,
    first: list[Any],
) -> None:
    _check_arrival(scheme, learner, first, first, "after `connect`")
    generator = torch.Generator().manual_seed(1)
    states = first
    for number in range(updates):
        learner.draw(generator)
        for each in team:
            each.tell("receive")
        scheme.send()
        before, states = states, [each.answer() for each in team]
        _check_arrival(scheme, learner, states, first, f"after update {number + 1}")
        grown = all(
            new["version"] > old["version"] for new, old in zip(states, before, strict=True)
        )
        _require(grown, scheme, "the version of an update is not greater than that before")
    _check_skipping(scheme, learner, team, first)
    _check_refusal(scheme, learner, team)
    _check_death(scheme, learner, team)


def _check_arrival(
    scheme: WeightSyncScheme,
    learner: _Net,
    states: list[Any],
    first: list[Any],
    when: str,
) -> None:
    for index, (state, initial) in enumerate(zip(states, first, strict=True)):
        _require(isinstance(state, dict), scheme, f"{when}, receiver {index} raised: {state}")
        same = state["checksum"] == _digest(learner, scheme.strategy)
        _require(same, scheme, f"{when}, receiver {index} has other weights than were sent")
        place = state["addresses"] == initial["addresses"]
        _require(place, scheme, f"{when}, receiver {index} has other tensors: not loaded in place")
        known = scheme.loaded_versions()[index] == state["version"] == scheme.version
        _require(known, scheme, f"{when}, the sender does not know the version of {index}")


def _check_skipping(
    scheme: WeightSyncScheme, learner: _Net, team: list[_Receiver], first: list[Any]
) -> None:
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        learner.draw(generator)
        scheme.send_async()
    states = [each.ask("receive") for each in team]
    scheme.wait_async()
    _check_arrival(scheme, learner, states, first, "after three updates at once")
    again = [each.ask("look") for each in team]
    _require(again == [None] * len(team), scheme, "an update is received twice")


def _check_refusal(scheme: WeightSyncScheme, learner: _Net, team: list[_Receiver]) -> None:
    state = learner.state_dict()
    for wrong in ({**state, "level": torch.zeros(6)}, {"level": state["level"]}):
        try:
            scheme.send_async(wrong)
        except ValueError:
            continue
        _require(False, scheme, "weights with other names or shapes are sent")
    _require(
        [each.ask("look") for each in team] == [None] * len(team),
        scheme,
        "weights that were refused reach the receivers",
    )


def _check_death(scheme: WeightSyncScheme, learner: _Net, team: list[_Receiver]) -> None:
    team[0].kill()
    start, raised = time.monotonic(), False
    try:
        scheme.send()
    except WorkerError as error:
        raised = "0" in str(error)
    took_s = time.monotonic() - start
    _require(raised, scheme, "`send` to a killed receiver raises no WorkerError with its number")
    _require(took_s < _NOTICE_S, scheme, f"`send` to a killed receiver took {took_s:.0f} s")
    learner.draw(torch.Generator().manual_seed(3))
    others = list(range(1, len(team)))
    for index in others:
        team[index].tell("receive")
    scheme.send(worker_ids=others)
    for index in others:
        state = team[index].answer()
        same = isinstance(state, dict) and state["checksum"] == _digest(learner, scheme.strategy)
        _require(same, scheme, "after a receiver was killed, the others get no weights")


def _digest(module: nn.Module, strategy: WeightStrategy) -> int:
    return checksum(strategy.stamp(module, 0).tensordict)


class _Receiver:
    """A process with a module that receives, and the pipe to it."""

    def __init__(self, context: Any, scheme: WeightSyncScheme, index: int) -> None:  # noqa: ANN401
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(scheme, index, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def tell(self, call: str) -> None:
        self._pipe.send(call)

    def answer(self) -> Any:  # noqa: ANN401 (what `_obey` sends)
        if not self._pipe.poll(_ANSWER_S):
            raise AssertionError(f"A receiver says nothing for {_ANSWER_S:g} s.")
        return self._pipe.recv()

    def ask(self, call: str) -> Any:  # noqa: ANN401
        self.tell(call)
        return self.answer()

    def kill(self) -> None:
        if self._process.is_alive():
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.join(_ANSWER_S)


def _obey(scheme: WeightSyncScheme, index: int, pipe: Any) -> None:  # noqa: ANN401
    torch.set_num_threads(1)
    model = _Net(100 + index)

    def state() -> dict[str, Any]:
        return {
            "version": scheme.version,
            "checksum": _digest(model, scheme.strategy),
            "addresses": [tensor.data_ptr() for tensor in model.state_dict().values()],
        }

    def connect() -> dict[str, Any]:
        scheme.init_on_receiver(model=model, worker_idx=index)
        scheme.connect(worker_idx=index)
        return state()

    calls: dict[str, Callable[[], Any]] = {
        "connect": connect,
        "receive": lambda: (scheme.receive(), state())[1],
        "look": lambda: None if scheme.receive(timeout=0.1) is None else state(),
        "shutdown": scheme.shutdown,
    }
    while True:
        call = pipe.recv()
        try:
            result = calls[call]()
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        pipe.send(result)
