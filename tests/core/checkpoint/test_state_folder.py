import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import LazyStackedTensorDict, NonTensorData, TensorDict

from rl.core.checkpoint import load_state, save_state
from rl.core.errors import CheckpointError

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]


def round_trip(state, path):
    save_state(path, state)
    return load_state(path)


def assert_equal(a, b):
    """Equal in value, type, dtype, shape and order, NaN equal to itself."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, two in zip(a, b, strict=True):
            assert_equal(one, two)
    elif isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.contiguous().view(-1).view(torch.uint8).equal(b.view(-1).view(torch.uint8))
    elif isinstance(a, np.ndarray | np.generic):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
    else:
        assert repr(a) == repr(b)


tensors = st.builds(
    lambda dtype, shape, seed: (
        torch.randint(0, 256, (*shape, 16), generator=torch.Generator().manual_seed(seed))
        .to(torch.uint8)
        .view(dtype if dtype is not torch.bool else torch.uint8)
        .to(dtype)
    ),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 1000),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(max_size=8),
    st.complex_numbers(),
    tensors,
)
keys = st.one_of(st.text(), st.integers(), st.none(), st.tuples(st.integers(), st.text()))
states = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(states)
def test_any_state_round_trips(tmp_path_factory, state):
    assert_equal(round_trip(state, tmp_path_factory.mktemp("state")), state)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)], ids=str)
def test_tensor_of_every_dtype(dtype, shape, tmp_path):
    value = torch.randint(0, 2, shape).to(dtype)
    assert_equal(round_trip({"x": value}, tmp_path), {"x": value})


def test_one_tensor_under_two_names_stays_one(tmp_path):
    weight = torch.randn(3, 2)
    loaded = round_trip({"a": weight, "b": weight, "t": weight.t(), "row": weight[0]}, tmp_path)
    assert loaded["a"] is loaded["b"]
    assert torch.equal(loaded["t"], weight.t())
    assert torch.equal(loaded["row"], weight[0])
    assert loaded["row"].data_ptr() != loaded["a"].data_ptr()


def test_freed_tensors_do_not_alias(tmp_path):
    # each temporary may get the address of the one before it
    class Temporaries(dict):
        def items(self):
            for i in range(50):
                yield str(i), torch.full((64,), float(i))

    loaded = round_trip(Temporaries(dict.fromkeys(map(str, range(50)))), tmp_path)
    assert [loaded[str(i)][0].item() for i in range(50)] == list(range(50))


def test_conjugate_and_expanded_views(tmp_path):
    z = torch.randn(3, dtype=torch.complex64)
    state = {"conj": z.conj(), "neg": z.conj().imag, "wide": torch.ones(1).expand(4)}
    loaded = round_trip(state, tmp_path)
    for key in state:
        assert torch.equal(loaded[key], state[key])


def test_numpy_arrays_and_scalars_come_back_as_numpy(tmp_path):
    state = {
        "flags": np.array([True, False]),
        "zero": np.zeros((), np.float32),
        "empty": np.zeros((0, 2), np.int16),
        "strided": np.arange(6).reshape(2, 3).T,
        "scalar": np.float64(0.1),
        "count": np.int32(3),
    }
    loaded = round_trip(state, tmp_path)
    assert_equal(loaded, state)
    loaded["flags"][0] = False  # writable


def test_optimizer_state_with_integer_keys(tmp_path):
    model = torch.nn.Linear(2, 1)
    optim = torch.optim.AdamW(model.parameters(), amsgrad=True)
    model(torch.ones(1, 2)).sum().backward()
    optim.step()
    state = optim.state_dict()
    assert_equal(round_trip(state, tmp_path), state)


def test_random_states(tmp_path):
    state = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    assert_equal(round_trip(state, tmp_path), state)


def test_torch_constants(tmp_path):
    state = {"dtype": torch.bfloat16, "device": torch.device("cpu"), "size": torch.Size([2, 3])}
    assert_equal(round_trip(state, tmp_path), state)


def test_tensordict_with_everything(tmp_path):
    td = TensorDict(
        {
            "x": torch.randn(2, 3),
            "nested": TensorDict({"y": torch.zeros(2, 3, 1)}, [2, 3]),
            "text": NonTensorData("hello", batch_size=[2]),
            "each": ["a", "b"],
        },
        batch_size=[2],
        names=["time"],
    )
    loaded = round_trip(td, tmp_path)
    assert loaded.batch_size == td.batch_size
    assert loaded.names == ["time"]
    assert torch.equal(loaded["x"], td["x"])
    assert loaded["nested"].batch_size == torch.Size([2, 3])
    assert loaded["text"] == "hello"
    assert loaded[1]["each"] == "b"


def test_lazy_stack_of_ragged_tensordicts(tmp_path):
    parts = [TensorDict({"x": torch.ones(n)}) for n in (1, 3)]
    loaded = round_trip(LazyStackedTensorDict(*parts, stack_dim=0), tmp_path)
    assert [part["x"].shape for part in loaded.tensordicts] == [(1,), (3,)]


def test_hostile_names(tmp_path):
    state = {
        "__metadata__": torch.zeros(1),
        "a": {"b": torch.ones(1)},
        "a/b": torch.zeros(1) + 2,
        "\ud800": torch.zeros(1) + 3,
        "$tensor": torch.zeros(1) + 4,
        "": torch.zeros(1) + 5,
    }
    assert_equal(round_trip(state, tmp_path), state)


def test_device_is_where_tensors_are_put(tmp_path):
    save_state(tmp_path, {"x": torch.ones(2)})
    assert load_state(tmp_path, device="meta")["x"].device.type == "meta"


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (object(), "Turn it into tensors"),
        (lambda: 0, "Turn it into tensors"),
        ({1, 2}, "Turn it into tensors"),
        (torch.eye(2).to_sparse(), r"\.to_dense\(\)"),
        (torch.zeros(1, device="meta"), "dense tensor"),
        (np.array(["a"]), r"\.tolist\(\)"),
        (np.array([None]), r"\.tolist\(\)"),
        (time.gmtime(0), "Save `list"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_format_cannot_hold_names_the_field(value, fix, tmp_path):
    with pytest.raises(CheckpointError, match=fix) as error:
        save_state(tmp_path, {"outer": [0, {"inner": value}]})
    assert "`outer/1/inner`" in str(error.value)
    assert not list(tmp_path.iterdir()), "nothing half-saved"


def test_saving_replaces_and_cleans(tmp_path):
    for step in range(3):
        save_state(tmp_path, {"step": step, "x": torch.zeros(step + 1)})
    assert load_state(tmp_path)["step"] == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_failed_save_leaves_the_previous_state(tmp_path, monkeypatch):
    save_state(tmp_path, {"step": 1, "x": torch.ones(3)})

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_state(tmp_path, {"step": 2, "x": torch.ones(4)})
    monkeypatch.undo()
    assert load_state(tmp_path)["step"] == 1


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="is a file; a state is saved in a folder"):
        save_state(tmp_path / "file", {})


@pytest.fixture
def saved(tmp_path):
    save_state(tmp_path, {"step": 3, "weight": torch.arange(8.0)})
    (tensors,) = tmp_path.glob("*.safetensors")
    return tmp_path, tmp_path / "manifest.json", tensors


def test_every_flipped_byte_of_every_file_raises(saved):
    folder, manifest, tensors = saved
    for file in (manifest, tensors):
        whole = file.read_bytes()
        for position in range(len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 1
            file.write_bytes(bytes(damaged))
            with pytest.raises(CheckpointError, match=r"manifest|tensors-"):
                load_state(folder)
        file.write_bytes(whole)
    assert load_state(folder)["step"] == 3


@pytest.mark.parametrize("kept", [0, 1, 100])
def test_truncated_tensors_name_file_and_field(saved, kept):
    folder, _, tensors = saved
    tensors.write_bytes(tensors.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"field `tensors.bytes`") as error:
        load_state(folder)
    assert tensors.name in str(error.value)


@pytest.mark.parametrize("kept", [0, 1, 200])
def test_truncated_manifest_is_named(saved, kept):
    folder, manifest, _ = saved
    manifest.write_bytes(manifest.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"manifest.json` is not JSON: truncated"):
        load_state(folder)


def test_changed_tensors_name_the_hash(saved):
    folder, _, tensors = saved
    raw = bytearray(tensors.read_bytes())
    raw[-1] ^= 0xFF
    tensors.write_bytes(bytes(raw))
    with pytest.raises(CheckpointError, match=r"field `tensors.sha256`"):
        load_state(folder)


def test_missing_files_are_named(saved):
    folder, manifest, tensors = saved
    tensors.unlink()
    with pytest.raises(CheckpointError, match=f"{tensors.name}` is missing"):
        load_state(folder)
    manifest.unlink()
    with pytest.raises(CheckpointError, match=r"manifest.json` cannot be read"):
        load_state(folder)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"format": "other"}', b"3"])
def test_foreign_manifest_names_the_format(saved, content):
    folder, manifest, _ = saved
    manifest.write_bytes(content)
    with pytest.raises(CheckpointError, match="field `format`"):
        load_state(folder)


@pytest.mark.parametrize("version", [2, 10, None, "1", 0, -1, True])
def test_other_versions_say_what_to_do(saved, version):
    folder, manifest, _ = saved
    document = json.loads(manifest.read_bytes())
    document["version"] = version
    manifest.write_text(json.dumps(document, indent=1))
    with pytest.raises(CheckpointError, match="field `version`"):
        load_state(folder)


def forge(manifest, change):
    """Write a manifest whose hashes are right and whose content is not."""
    document = json.loads(manifest.read_bytes())
    change(document["body"])
    body = json.dumps(document["body"], indent=1).encode()
    document["sha256"] = hashlib.sha256(body).hexdigest()
    manifest.write_text(json.dumps(document, indent=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b["state"].update(weight={"$tensor": "lost"}), "Field `lost`"),
        (lambda b: b["state"].update(weight={"$future": 1}), "newer rl-core"),
        (lambda b: b["state"].update(weight={"$dtype": "float3"}), "`float3`"),
        (lambda b: b["state"].update(weight={"$dtype": "load"}), "`load`"),
        (lambda b: b["state"].update(weight={"$tuple": 3}), "ill-formed"),
        (lambda b: b["state"].update(weight={"$size": "ab"}), "ill-formed"),
        (lambda b: b["tensors"].pop("file"), "field `tensors`"),
        (lambda b: b["tensors"].update(file="../secret"), "field `tensors.file`"),
        (lambda b: b.pop("state"), "field `state`"),
    ],
)
def test_forged_manifests_raise_too(saved, change, message):
    folder, manifest, _ = saved
    forge(manifest, change)
    with pytest.raises(CheckpointError, match=message) as error:
        load_state(folder)
    assert "manifest.json" in str(error.value)


SAVER = """
import sys, torch
from rl.core.checkpoint import save_state
step = 0
while True:
    step += 1
    save_state(sys.argv[1], {"step": step, "x": torch.full((200_000,), float(step))})
    print(step, flush=True)
"""


def test_kill_nine_while_saving_leaves_a_whole_state(tmp_path):
    folder = tmp_path / "state"
    rng = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        try:
            done = int(process.stdout.readline())
            time.sleep(rng.uniform(0.0, 0.1))
        finally:
            process.send_signal(signal.SIGKILL)
            rest = process.communicate(timeout=30)[0].split()
        loaded = load_state(folder)
        assert loaded["step"] >= max([done, *map(int, rest)])
        assert (loaded["x"] == loaded["step"]).all()
    save_state(folder, {"step": 0})
    assert len(list(folder.glob("tensors-*"))) == 1, "what the kills left is cleaned"
