import hashlib
import json
import random
import zipfile

import pytest

from rl.core.checkpoint import Checkpoint, load_state
from rl.core.checkpoint.container import abandoned
from rl.core.errors import CheckpointError


@pytest.fixture(params=["directory", "archive"])
def saved(request, tmp_path):
    path = Checkpoint(format=request.param, a={"x": [1, 2]}, b=3).save(tmp_path / "saved")
    return path, request.param


def files_of(path):
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def restore(path):
    """Load into a component that holds something; return what it holds afterwards."""
    value = {"old": True}
    try:
        Checkpoint(a=value, b=0).load(path)
    except CheckpointError:
        # checked here, at each of the many places that raise
        if value != {"old": True}:
            raise AssertionError("half-loaded") from None
        raise
    return value


def test_a_flipped_byte_raises_or_changes_nothing(saved):
    """Of a directory each byte counts; of a ZIP file some are of no consequence, such as dates."""
    path, container = saved
    raised = checked = 0
    for file in files_of(path):
        whole = file.read_bytes()
        places = random.Random(0).sample(range(len(whole)), min(len(whole), 150))
        for place in places:
            damaged = bytearray(whole)
            damaged[place] ^= 1
            file.write_bytes(bytes(damaged))
            checked += 1
            try:
                assert restore(path) == {"x": [1, 2]}
            except CheckpointError as error:
                raised += "saved" in str(error)
        file.write_bytes(whole)
    assert raised == checked if container == "directory" else raised > checked / 2
    assert restore(path) == {"x": [1, 2]}


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_truncated_files_raise(saved, kept):
    path, _ = saved
    for file in files_of(path):
        whole = file.read_bytes()
        file.write_bytes(whole[: int(len(whole) * kept)])
        with pytest.raises(CheckpointError):
            restore(path)
        file.write_bytes(whole)


def test_missing_files_are_named(saved):
    path, container = saved
    if container == "archive":
        path.unlink()
        with pytest.raises(CheckpointError, match="does not exist: there is no checkpoint here"):
            restore(path)
        return
    (value,) = path.glob("components-*/0000-a/value.json")
    value.unlink()
    with pytest.raises(CheckpointError, match=r"a/value.json` is missing; .*`components.a.files"):
        restore(path)
    (path / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"manifest.json` cannot be read"):
        restore(path)


def test_foreign_files_are_refused(tmp_path):
    foreign = tmp_path / "saved"
    foreign.write_bytes(b"not a zip file")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        restore(foreign)
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"`manifest.json` in it is truncated, damaged"):
        restore(foreign)
    foreign.unlink()
    foreign.mkdir()
    (foreign / "manifest.json").write_text('{"format": "torchrl.checkpoint", "format_version": 1}')
    with pytest.raises(CheckpointError, match=r"field `format` is 'torchrl.checkpoint', expected"):
        restore(foreign)


def test_a_newer_version_says_what_to_do(tmp_path):
    path = Checkpoint(a={}).save(tmp_path / "saved")
    document = json.loads((path / "manifest.json").read_bytes())
    document["version"] = 2
    (path / "manifest.json").write_text(json.dumps(document, indent=1))
    with pytest.raises(CheckpointError, match=r"field `version` is 2.*pip install --upgrade"):
        restore(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.update(folder="../elsewhere"), "`components` or `folder` is ill-formed"),
        (lambda b: b.update(components=[]), "`components` or `folder` is ill-formed"),
        (lambda b: b["components"]["a"].pop("files"), "`components.a` lacks one of"),
        (lambda b: b["components"]["a"].update(path="../b"), "names '../b', expected a path in"),
        (lambda b: b["components"]["a"].update(path="/etc"), "names '/etc', expected a path in"),
        (lambda b: b["components"]["a"]["files"].update({"x/../../y": {}}), "expected a path in"),
        (lambda b: b["components"]["a"]["files"].update({"x\\y": {}}), "expected a path in"),
    ],
)
def test_forged_manifests_lead_nowhere(change, message, tmp_path):
    path = Checkpoint(a={}).save(tmp_path / "saved")
    document = json.loads((path / "manifest.json").read_bytes())
    change(document["body"])
    body = json.dumps(document["body"], indent=1).encode()
    document["sha256"] = hashlib.sha256(body).hexdigest()
    (path / "manifest.json").write_text(json.dumps(document, indent=1))
    with pytest.raises(CheckpointError, match=message):
        restore(path)


def test_only_a_killed_first_save_is_abandoned(tmp_path):
    assert abandoned(tmp_path)
    (tmp_path / "components-0123456789abcdef").mkdir()
    (tmp_path / ".manifest.json.01234567.tmp").write_text("{")
    assert abandoned(tmp_path)
    (tmp_path / "components-mine").mkdir()
    assert not abandoned(tmp_path)
    assert not abandoned(tmp_path / "absent")


def test_an_archive_is_a_zip_file_that_others_open(tmp_path):
    path = Checkpoint(format="archive", a={"x": 1}).save(tmp_path / "a.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        first, second = archive.namelist()
        assert first == "manifest.json"
        assert json.loads(archive.read(second)) == {"x": 1}
    assert load_state(path) == {"a": {"x": 1}}
