import json
import multiprocessing
import os
import signal
import time

import pytest

from rl.core.services.base import ServiceCalls
from rl.core.services.channel import SocketChannel
from rl.core.services.engine import SHUTDOWN
from rl.core.services.serving import read_report, run_service
from rl.core.services.wire import TOKEN_BYTES

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
TOKEN = b"o" * TOKEN_BYTES


class Target:
    def __init__(self, folder):
        self.folder = folder

    def note(self, name):
        time.sleep(0.2)
        (self.folder / name).touch()

    def close(self):
        (self.folder / "closed").touch()


def serve(make):
    context = multiprocessing.get_context("fork")
    report, theirs = context.Pipe(duplex=False)
    calls = ServiceCalls({"note"}, end="close")
    tokens = {TOKEN: calls.of_owner | {SHUTDOWN}}
    process = context.Process(
        target=run_service, args=(make, calls, tokens, 2, theirs), daemon=True
    )
    process.start()
    theirs.close()
    return process, report


def test_it_is_told_where_it_listens_and_ends_on_request(tmp_path):
    process, report = serve(lambda: Target(tmp_path))
    channel = SocketChannel("t", read_report(report, 30.0)["port"], TOKEN)
    channel.ask("note", ["a"], {}, 10.0)
    assert channel.ask(SHUTDOWN, [], {}, 10.0) is None
    process.join(10)
    assert process.exitcode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a", "closed"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(tmp_path, number):
    process, report = serve(lambda: Target(tmp_path))
    channel = SocketChannel("t", read_report(report, 30.0)["port"], TOKEN)
    os.kill(process.pid, number)
    if number == signal.SIGINT:  # that is the parent's affair
        channel.ask("note", ["a"], {}, 10.0)
        process.terminate()
    process.join(10)
    assert process.exitcode == 0
    assert (tmp_path / "closed").exists()


def test_a_failed_start_is_told_with_its_traceback():
    def make():
        raise LookupError("no such store")

    process, report = serve(make)
    told = read_report(report, 30.0)
    assert told["error"] == "LookupError: no such store"
    assert "in make" in told["traceback"]
    process.join(10)


def test_a_report_is_json():
    ours, theirs = multiprocessing.Pipe(duplex=False)
    assert read_report(ours, 0.0) is None
    theirs.send_bytes(json.dumps({"port": 3}).encode())
    assert read_report(ours, 5.0) == {"port": 3}
    theirs.close()
    with pytest.raises(EOFError):
        read_report(ours, 5.0)
