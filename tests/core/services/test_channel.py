import os
import pickle
import socket
import threading

import pytest

from rl.core.errors import RLError, WorkerError
from rl.core.services.base import ServiceCalls
from rl.core.services.channel import DirectChannel, SocketChannel
from rl.core.services.engine import Engine
from rl.core.services.wire import TOKEN_BYTES, MessageError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
TOKEN = b"t" * TOKEN_BYTES


def test_a_silent_service_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel = SocketChannel("s", listener.getsockname()[1], os.urandom(TOKEN_BYTES))
        with pytest.raises(WorkerError, match=r"`s` did not answer `flush` in 0\.2 s.*`timeout`"):
            channel.ask("flush", [], {}, 0.2)


def test_a_channel_is_sent_without_its_connection():
    channel = pickle.loads(pickle.dumps(SocketChannel("s", 1, TOKEN)))
    assert (channel.name, channel.port, channel._token) == ("s", 1, TOKEN)
    assert channel._connection is None


def test_what_cannot_be_sent_is_refused_before():
    with pytest.raises(MessageError, match="Field `args/0` is a set"):
        SocketChannel("s", 1, TOKEN).ask("add", [{1}], {}, 1.0)


@pytest.fixture
def direct():
    engine = Engine([], ServiceCalls({"append", "copy"}))
    thread = threading.Thread(target=engine.run)
    thread.start()
    yield DirectChannel("s", engine, frozenset({"append", "copy"}))
    engine.stop()
    thread.join(10)


def test_direct_calls_copy_nothing(direct):
    value = object()
    direct.ask("append", [value], {}, 10.0)
    assert direct.ask("copy", [], {}, 10.0)[0] is value


def test_a_direct_channel_stays_in_its_process(direct):
    with pytest.raises(RLError, match='transport="socket"'):
        pickle.dumps(direct)
    pid = os.fork()
    if pid == 0:
        try:
            direct.ask("copy", [], {}, 60.0)
        except WorkerError as error:
            os._exit(0 if "forked" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
