import multiprocessing
import os
import socket
import threading

import pytest

from rl.core.errors import WorkerError
from rl.core.loggers import CSVLogger
from rl.core.loggers.server import CLIENT_CALLS, OWNER_CALLS, run_logger
from rl.core.loggers.wire import TOKEN_BYTES, Channel

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
OWNER, CLIENT = b"o" * TOKEN_BYTES, b"c" * TOKEN_BYTES


@pytest.fixture
def port(tmp_path):
    context = multiprocessing.get_context("fork")
    report, theirs = context.Pipe(duplex=False)
    tokens = {OWNER: OWNER_CALLS, CLIENT: CLIENT_CALLS}
    args = (CSVLogger, ("run",), {"log_dir": str(tmp_path)}, tokens, 2, theirs)
    process = context.Process(target=run_logger, args=args, daemon=True)
    process.start()
    assert report.poll(30)
    yield report.recv()["port"]
    process.kill()
    process.join(10)


def test_strangers_are_not_let_in(port):
    with pytest.raises(WorkerError, match="is gone"):
        Channel(port, os.urandom(TOKEN_BYTES), 5.0).ask("flush", {})
    assert Channel(port, OWNER, 5.0).ask("flush", {}) is None


@pytest.mark.parametrize("call", ["__init__", "_file", "nothing"])
def test_only_listed_calls_are_made(port, call):
    with pytest.raises(WorkerError, match="is not for workers"):
        Channel(port, OWNER, 5.0).ask(call, {})


def test_more_clients_than_places_in_the_queue(port, tmp_path):
    def log():
        channel = Channel(port, CLIENT, 20.0)
        for _ in range(10):
            channel.ask("log_scalar", {"name": "a", "value": 1.0})

    threads = [threading.Thread(target=log) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    steps = [line.split(",")[0] for line in (tmp_path / "run/scalars/a.csv").read_text().split()]
    assert steps == [str(i) for i in range(60)]


def test_a_client_that_dies_in_a_message_harms_nobody(port):
    for said in (b"", CLIENT[:5], CLIENT + b"\0\0\0\x10", CLIENT + b"\0\0\0\x10" + bytes(8) + b"{"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(said)
    assert Channel(port, CLIENT, 5.0).ask("log_scalar", {"name": "a", "value": 1.0}) is None
