import json
import struct
import time

import pytest

BLOCK = 32768  # of the LevelDB log format, which offline runs of wandb are kept in
HEADER = struct.Struct("<IHB")


def records(path):
    """Yield the records of an offline run: chunks in blocks, after a head of 7 bytes."""
    messages = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    data, at, parts = path.read_bytes(), 7, []
    while at + HEADER.size <= len(data):
        if BLOCK - at % BLOCK < HEADER.size:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = HEADER.unpack_from(data, at)
        at += HEADER.size
        parts.append(data[at : at + length])
        at += length
        if kind in (1, 4):  # whole, last
            yield messages.Record.FromString(b"".join(parts))
            parts = []


def finished(path, seconds=30):
    """Return the records of a finished run; another process of wandb's writes them."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = list(records(path))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.05)
    raise AssertionError("the run was not written")


def nested(items):
    """Return items as a dict; those below a name make a dict of their own."""
    result = {}
    for item in items:
        *parents, name = list(item.nested_key) or [item.key]
        place = result.setdefault(parents[0], {}) if parents else result
        place[name] = json.loads(item.value_json)
    return result


@pytest.fixture(scope="session")
def read_wandb():
    """Reads the history and the configuration of a finished offline run below a folder."""

    def read(folder):
        (path,) = folder.glob("wandb/offline-run-*/*.wandb")
        history, config = [], {}
        for record in finished(path):
            if record.HasField("history"):
                history.append(nested(record.history.item))
            elif record.HasField("config"):
                config |= nested(record.config.update)
        return history, config, path.parent

    return read


@pytest.fixture(scope="session")
def trackio_store(tmp_path_factory):
    """The folder of Trackio's data, which it chooses when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        pytest.importorskip("trackio")
        pytest.importorskip("av")
        yield pytest.importorskip("trackio.utils").TRACKIO_DIR
