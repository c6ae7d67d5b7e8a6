import os

import pytest

from rl.core.checkpoint import write_atomic
from rl.core.checkpoint.manifest import decode_manifest, encode_manifest
from rl.core.errors import CheckpointError


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_write_atomic_failing_keeps_the_old(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"one")

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_atomic(path, b"two")
    monkeypatch.undo()
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_document_says_which_format_it_is_of(tmp_path):
    raw = encode_manifest("rl.b", 2, {"x": 1})
    assert decode_manifest(tmp_path, raw, {"rl.a": 1, "rl.b": 2}) == ("rl.b", {"x": 1})
    with pytest.raises(CheckpointError, match=r"`format` is 'rl.b', expected 'rl.a'"):
        decode_manifest(tmp_path, raw, {"rl.a": 1})
    with pytest.raises(CheckpointError, match=r"reads 1 to 1. `pip install --upgrade rl-core`"):
        decode_manifest(tmp_path, raw, {"rl.b": 1})


@pytest.mark.parametrize("body", [[1], None, "x"])
def test_a_forged_body_is_refused(body, tmp_path):
    with pytest.raises(CheckpointError, match="field `body` is no object"):
        decode_manifest(tmp_path, encode_manifest("rl.a", 1, body), {"rl.a": 1})
