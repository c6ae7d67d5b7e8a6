import pytest
import torch
from safetensors.torch import save_file

from rl.core.checkpoint.payload import read_json, read_payload, write_json, write_payload
from rl.core.errors import CheckpointError

STATE = {"a": [torch.arange(3), (1, float("inf"))], 5: {"b": torch.zeros(2, dtype=torch.bfloat16)}}
FILES = {"consolidated": "state.safetensors", "archive": "state.zip"}


@pytest.mark.parametrize("kind", ["directory", "consolidated", "archive"])
def test_states_round_trip(kind, tmp_path):
    write_payload(tmp_path, STATE, kind)
    found = read_payload(tmp_path)
    assert str(found) == str(STATE)
    assert found[5]["b"].dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["consolidated", "archive"])
@pytest.mark.parametrize("kept", [0, 10, 200])
def test_truncated_files_are_named(kind, kept, tmp_path):
    write_payload(tmp_path, STATE, kind)
    file = tmp_path / FILES[kind]
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=FILES[kind]):
        read_payload(tmp_path)


def test_foreign_safetensors_files_are_refused(tmp_path):
    save_file({"weight": torch.ones(1)}, tmp_path / "state.safetensors")
    with pytest.raises(CheckpointError, match=r"`format` and `version` are None and None"):
        read_payload(tmp_path)


def test_an_empty_folder_is_no_state(tmp_path):
    with pytest.raises(CheckpointError, match="holds none of the files of a state"):
        read_payload(tmp_path)


@pytest.mark.parametrize(
    "value", [None, True, 3, 0.1, -0.0, "x", [1, [2]], (1,), {"a": {2: float("nan")}}, b"x"]
)
def test_values_round_trip(value, tmp_path):
    write_json(tmp_path, value)
    assert repr(read_json(tmp_path)) == repr(value)
    assert repr(read_payload(tmp_path)) == repr(value)


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ({"a": torch.ones(1)}, r"`a` is a tensor.*`\.item\(\)`"),
        ({"f": print}, "`f` is a builtin_function_or_method"),
    ],
)
def test_other_values_name_the_field(value, fix, tmp_path):
    with pytest.raises(CheckpointError, match=fix):
        write_json(tmp_path, value)


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "value.json").write_text('{"a": ')
    with pytest.raises(CheckpointError, match=r"value.json` is missing, truncated or damaged"):
        read_json(tmp_path)
