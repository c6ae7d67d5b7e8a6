import sys
import threading
import time

import pytest

from rl.core.services.base import ServiceCalls
from rl.core.services.engine import SHUTDOWN, Engine

CALLS = ServiceCalls(client={"note", "wait", "leave"}, end="close")
ALL = CALLS.of_owner | {SHUTDOWN}


class Target:
    def __init__(self):
        self.notes, self.threads = [], set()
        self.gate, self.waits = threading.Event(), threading.Event()

    def note(self, value):
        self.threads.add(threading.get_ident())
        self.notes.append(value)

    def wait(self):
        self.waits.set()
        self.gate.wait(30)

    def leave(self):
        sys.exit(3)

    def close(self):
        self.notes.append("closed")


@pytest.fixture
def target():
    return Target()


def started(target, calls=CALLS, **kwargs):
    engine = Engine(target, calls, **kwargs)
    thread = threading.Thread(target=engine.run)
    thread.start()
    return engine, thread


def asked(engine, *call, **kwargs):
    return threading.Thread(target=ask, args=(engine, *call), kwargs=kwargs)


def ask(engine, call, *args, timeout_s=20.0):
    return engine.ask(call, args, {}, allowed=ALL, timeout_s=timeout_s)


def test_calls_are_made_in_one_thread_in_order(target):
    engine, thread = started(target)
    for value in range(5):
        assert ask(engine, "note", value).error is None
    assert target.threads == {thread.ident}
    assert ask(engine, SHUTDOWN).error is None
    thread.join(10)
    assert target.notes == [0, 1, 2, 3, 4, "closed"]
    with pytest.raises(ConnectionError):
        ask(engine, "note", 1)


def test_a_call_that_gave_up_waiting_is_not_made(target):
    engine, thread = started(target)
    stuck = asked(engine, "wait")
    stuck.start()
    with pytest.raises(TimeoutError):
        ask(engine, "note", 1, timeout_s=0.1)
    target.gate.set()
    stuck.join(10)
    engine.stop()
    thread.join(10)
    assert target.notes == ["closed"]


def test_no_more_calls_wait_than_there_is_room_for(target):
    engine, thread = started(target, max_queue_size=2)
    waiting = [asked(engine, "wait"), asked(engine, "note", 1)]
    for each in waiting:
        each.start()
    deadline = time.monotonic() + 10
    while engine._room.acquire(blocking=False):
        engine._room.release()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(TimeoutError):
        ask(engine, "note", 2, timeout_s=0.1)
    target.gate.set()
    for each in waiting:
        each.join(10)
    engine.stop()
    thread.join(10)
    assert target.notes == [1, "closed"]


def test_those_that_wait_when_it_ends_are_told(target):
    engine, thread = started(target)
    stuck = asked(engine, "wait")
    stuck.start()
    assert target.waits.wait(10)
    told = []

    def late():
        try:
            ask(engine, "note", 1)
        except ConnectionError as error:
            told.append(str(error))

    waiting = threading.Thread(target=late)
    waiting.start()
    while engine._requests.empty():
        time.sleep(0.01)
    engine.refuse()
    waiting.join(10)
    assert told == ["it has ended"]
    target.gate.set()
    engine.stop()
    stuck.join(10)
    thread.join(10)
    assert target.notes == ["closed"]


def test_an_object_that_leaves_does_not_take_the_service_along(target):
    engine, thread = started(target)
    assert ask(engine, "leave").error == "SystemExit: 3"
    assert ask(engine, "note", 1).error is None
    engine.stop()
    thread.join(10)


def test_unknown_calls_suggest_the_nearest(target):
    engine = Engine(target, CALLS)
    assert "Did you mean `note`" in ask_error(engine, "notes")
    assert "the owner of the service calls it" in ask_error(engine, SHUTDOWN)
    assert "$" not in ask_error(engine, "notes")


def ask_error(engine, call):
    return engine.ask(call, (), {}, allowed=CALLS.client).error


def test_an_error_at_the_end_is_told_to_who_ends_it(target):
    engine, thread = started(target, ServiceCalls({"note"}, end="missing"))
    answer = engine.ask(SHUTDOWN, (), {}, allowed=ALL)
    assert answer.error.startswith("AttributeError")
    thread.join(10)


def test_answers_are_finished_before_the_next_call(target):
    engine, thread = started(target)
    made_by = engine.ask("note", [1], {}, allowed=ALL, finish=lambda _: threading.get_ident())
    assert made_by == thread.ident
    asked_wrong = engine.ask("no", [], {}, allowed=ALL, finish=lambda answer: answer.error)
    assert "`no` is not among" in asked_wrong

    def finish(answer):
        return answer.error or 1 / 0

    assert engine.ask("note", [1], {}, allowed=ALL, finish=finish).startswith("ZeroDivisionError")
    engine.stop()
    thread.join(10)
