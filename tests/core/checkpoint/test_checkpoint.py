import copy
import json
import os
import platform
import random
import signal
import subprocess
import sys
import time
import warnings
import zipfile

import pytest
import torch
from tensordict import TensorDict

from rl.core.checkpoint import (
    Checkpoint,
    CheckpointAdapter,
    CheckpointOptions,
    GlobalRNGState,
    StateDictCheckpointAdapter,
    load_state,
    save_state,
)
from rl.core.errors import CheckpointError


class Counter:
    """A component that refuses negative counts."""

    def __init__(self, count):
        self.count = count

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state_dict):
        self.count = state_dict["count"]
        if self.count < 0:
            raise ValueError("a count is not negative.")


class Folder:
    """A component that writes its own files."""

    def __init__(self, text):
        self.text, self.arguments = text, None

    def dump(self, path, *args, **kwargs):
        self.arguments = (args, kwargs)
        (path / "inner").mkdir()
        (path / "inner" / "text").write_text(self.text)

    def load(self, path, *args, **kwargs):
        self.arguments = (args, kwargs)
        self.text = (path / "inner" / "text").read_text()
        if self.text == "bad":
            raise ValueError("the text is bad.")


def trained(seed):
    torch.manual_seed(seed)
    model = torch.nn.Linear(2, 1)
    optim = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optim.step()
    return model, optim


def test_components_come_back_bit_for_bit(tmp_path):
    model, optim = trained(0)
    Checkpoint(model=model, optim=optim, counter=Counter(3)).save(tmp_path)
    other, other_optim = trained(1)
    counter = Counter(0)
    Checkpoint(model=other, optim=other_optim, counter=counter).load(tmp_path)
    assert counter.count == 3
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        for name, value in optim.state[one].items():
            assert torch.equal(value, other_optim.state[two][name])


def test_a_refusal_leaves_every_component_as_it_was(tmp_path):
    model, _ = trained(0)
    Checkpoint(model=model, counter=Counter(-1)).save(tmp_path)
    other, _ = trained(1)
    before = copy.deepcopy(other.state_dict())
    counter = Counter(5)
    with pytest.raises(CheckpointError, match="`counter` refuses its saved state, nothing was"):
        Checkpoint(model=other, counter=counter).load(tmp_path)
    assert counter.count == 5
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_another_shape_is_refused_with_the_component(tmp_path):
    Checkpoint(model=torch.nn.Linear(2, 1)).save(tmp_path)
    with pytest.raises(CheckpointError, match="`model` refuses"):
        Checkpoint(model=torch.nn.Linear(3, 1)).load(tmp_path)


def test_missing_component_suggests_the_nearest(tmp_path):
    Checkpoint(policy=Counter(1)).save(tmp_path)
    with pytest.raises(CheckpointError, match="Did you mean `policy`"):
        Checkpoint(polcy=Counter(0)).load(tmp_path)


def test_components_that_nobody_asks_for_are_left_and_told(tmp_path):
    Checkpoint(a=Counter(1), b=Counter(2)).save(tmp_path)
    a = Counter(0)
    result = Checkpoint(a=a).load(tmp_path)
    assert (a.count, result.loaded, result.unrequested) == (1, {"a"}, {"b"})


def test_extra_states_say_how_to_load_the_rest():
    a = Counter(0)
    checkpoint, state = Checkpoint(a=a), {"a": {"count": 1}, "b": {"count": 2}}
    with pytest.raises(CheckpointError, match=r"`b`, which no component here reads.*components="):
        checkpoint.load_state_dict(state)
    assert a.count == 0
    checkpoint.load_state_dict(state, components=["a"])
    assert a.count == 1


def test_partial_load_leaves_the_others(tmp_path):
    Checkpoint(a=Counter(1), b=Counter(2)).save(tmp_path)
    a, b = Counter(0), Counter(0)
    Checkpoint(a=a, b=b).load(tmp_path, components=["b"])
    assert (a.count, b.count) == (0, 2)
    with pytest.raises(CheckpointError, match="is not a component here"):
        Checkpoint(a=a, b=b).load(tmp_path, components=["c"])


def test_objects_that_nothing_saves_are_refused():
    with pytest.raises(CheckpointError, match=r"`value` is a object.*register\(name"):
        Checkpoint(value=object())
    with pytest.raises(CheckpointError, match=r"`weight` is a Tensor.*register\(name"):
        Checkpoint(weight=torch.zeros(1))


def test_a_state_that_is_no_checkpoint_says_so(tmp_path):
    save_state(tmp_path, [1, 2])
    with pytest.raises(CheckpointError, match="Read it with `load_state`"):
        Checkpoint(a=Counter(0)).load(tmp_path)


def test_checkpoints_nest(tmp_path):
    Checkpoint(inner=Checkpoint(a=Counter(7))).save(tmp_path)
    assert load_state(tmp_path) == {"inner": {"a": {"count": 7}}}


# ------------------------------------------------------------------ containers


@pytest.fixture(params=["directory", "archive"])
def container(request):
    return request.param


def everything(seed=0):
    model, optim = trained(seed)
    progress = {"frames": seed, "shape": (1, 2), "best": float("-inf"), 3: [None, True]}
    parts = {"model": model, "optim": optim, "progress": progress, "n": seed}
    return Checkpoint(**parts, folder=Folder(f"text {seed}"), rng=GlobalRNGState())


def bits(checkpoint):
    """Everything that a checkpoint of `everything` can restore, to compare."""
    parts = checkpoint.components
    model = [p.detach().clone() for p in parts["model"].parameters()]
    state = copy.deepcopy(parts["optim"].state_dict())
    return [t.tolist() for t in model], str(state), dict(parts["progress"]), parts["folder"].text


@pytest.mark.parametrize("compression", ["stored", "deflate"])
def test_every_kind_of_component_comes_back(container, compression, tmp_path):
    one, two = everything(1), everything(2)
    one.archive_compression = compression
    path = one.save(tmp_path / "new" / "saved", format=container)
    assert (path, path.is_file()) == (tmp_path / "new" / "saved", container == "archive")
    expected = torch.rand(3)
    result = two.load(path)
    assert bits(two) == bits(one)
    assert torch.equal(torch.rand(3), expected)
    assert result.loaded == set(one.components)
    assert result.values == {"progress": one.components["progress"], "n": 1}
    assert not (result.missing | result.unrequested | set(result.incompatible))


def test_deflate_is_smaller(tmp_path):
    parts = {"layer": torch.nn.Linear(100, 100)}
    torch.nn.init.zeros_(parts["layer"].weight)
    plain = Checkpoint(format="archive", **parts).save(tmp_path / "a")
    small = Checkpoint(format="archive", archive_compression="deflate", **parts).save(
        tmp_path / "b"
    )
    assert small.stat().st_size < plain.stat().st_size / 4


def test_a_save_replaces_the_one_before_and_leaves_nothing(container, tmp_path):
    path = tmp_path / "saved"
    for count in range(3):
        Checkpoint(format=container, counter=Counter(count)).save(path)
    assert load_state(path) == {"counter": {"count": 2}}
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved"]
    if container == "directory":
        assert len(list(path.iterdir())) == 2


def test_files_of_others_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "components-old").mkdir()
    for _ in range(2):
        Checkpoint(counter=Counter(1)).save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "components-old").is_dir()


def test_what_is_no_checkpoint_is_not_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(CheckpointError, match="file that no checkpoint wrote"):
        Checkpoint(format="archive").save(tmp_path / "file")
    with pytest.raises(CheckpointError, match=r'is a file.*format="archive"'):
        Checkpoint().save(tmp_path / "file")
    with pytest.raises(CheckpointError, match=r'is a folder.*format="directory"'):
        Checkpoint(format="archive").save(tmp_path / "folder")
    with pytest.raises(CheckpointError, match="save the checkpoint to another folder"):
        Checkpoint().save(tmp_path / "folder")
    assert (tmp_path / "file").read_text() == "mine"
    assert "web app" in (tmp_path / "folder" / "manifest.json").read_text()


def test_a_damaged_checkpoint_is_replaced(tmp_path):
    Checkpoint(counter=Counter(1)).save(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-30])
    Checkpoint(counter=Counter(2)).save(tmp_path)
    assert load_state(tmp_path) == {"counter": {"count": 2}}


def test_a_save_that_fails_leaves_the_one_before(container, tmp_path):
    progress = {"frames": 1}
    checkpoint = Checkpoint(format=container, progress=progress)
    path = checkpoint.save(tmp_path / "saved")
    progress["hook"] = print
    with pytest.raises(CheckpointError, match=r"`progress` cannot be saved. Field `hook`"):
        checkpoint.save(path)
    progress.clear()
    checkpoint.load(path)
    assert progress == {"frames": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved"]
    assert container == "archive" or len(list(path.iterdir())) == 2


def test_a_first_save_that_fails_leaves_nothing(container, tmp_path):
    checkpoint = Checkpoint(format=container, a={"x": 1}, hook={"f": print})
    with pytest.raises(CheckpointError, match="Field `f` is a builtin_function"):
        checkpoint.save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_a_note_names_who_refused_even_what_it_held(tmp_path):
    class Refuses(Counter):
        def load_state_dict(self, state_dict):
            raise ValueError("never.")

    a = Counter(5)
    Checkpoint(a=Counter(1), b=Refuses(1)).save(tmp_path)
    with pytest.raises(CheckpointError, match="`b` refuses its saved state") as error:
        Checkpoint(a=a, b=Refuses(2)).load(tmp_path)
    assert error.value.__notes__ == [
        "Component `b` could not be brought back to what it held: never."
    ]
    assert a.count == 5


def test_a_tensordict_is_a_component(tmp_path):
    td = TensorDict(x=torch.arange(3), nested=TensorDict(y=torch.ones(3, 2)), batch_size=[3])
    other = td.clone().zero_()
    Checkpoint(td=td).save(tmp_path)
    Checkpoint(td=other).load(tmp_path)
    assert (other == td).all()


def test_only_paths_of_this_machine():
    with pytest.raises(CheckpointError, match="mount it"):
        Checkpoint(counter=Counter(1)).save("s3://bucket/x")


# ---------------------------------------------------------------- the manifest


def test_the_manifest_tells_what_is_there(container, tmp_path):
    metadata = {"eval_return": torch.tensor(2.5), "name": "a"}
    checkpoint = Checkpoint(format=container, layer=torch.nn.Linear(1, 1), n=3)
    path = checkpoint.save(tmp_path / "saved", metadata=metadata)
    manifest = Checkpoint.manifest(path)
    assert (manifest["format"], manifest["format_version"]) == ("rl.checkpoint", 1)
    assert manifest["container"] == container
    assert manifest["metadata"] == {"eval_return": 2.5, "name": "a"}
    assert manifest["versions"]["python"] == platform.python_version()
    assert {"rl-core", "torch", "tensordict", "safetensors", "python"} <= set(manifest["versions"])
    entries = manifest["components"]
    assert {name: entry["adapter"] for name, entry in entries.items()} == {
        "layer": "rl.state_dict",
        "n": "rl.json",
    }
    (value,) = entries["n"]["files"]
    assert value == "value.json"
    assert entries["n"]["files"][value]["bytes"] == 1
    if container == "directory":
        assert (path / entries["n"]["path"] / value).read_text() == "3"


def test_is_checkpoint(container, tmp_path):
    path = Checkpoint(format=container, n=1).save(tmp_path / "saved")
    save_state(tmp_path / "state", {})
    (tmp_path / "file").write_text("x")
    assert Checkpoint.is_checkpoint(path)
    for other in ("absent", "state", "file", "."):
        assert not Checkpoint.is_checkpoint(tmp_path / other)
    with pytest.raises(CheckpointError, match="there is no"):
        Checkpoint.manifest(tmp_path / "absent")


def test_another_version_of_torch_warns_and_is_reported(tmp_path, monkeypatch):
    counter = Counter(4)
    monkeypatch.setattr("rl.core.checkpoint.checkpoint.versions", lambda: {"torch": "1.0"})
    Checkpoint(counter=counter).save(tmp_path)
    monkeypatch.undo()
    counter.count = 0
    with pytest.warns(UserWarning, match=r"saved with torch 1.0 \(here .*Install these"):
        result = Checkpoint(counter=counter).load(tmp_path)
    assert counter.count == 4
    assert result.comparison["version_skew"]
    assert result.comparison["versions"]["torch"]["checkpoint"] == "1.0"
    assert result.comparison["versions"]["torch"]["matches"] is False


# ----------------------------------------------------- which parts, how strict


def test_save_components_is_what_is_saved_by_default(tmp_path):
    checkpoint = Checkpoint(a=Counter(1), b=Counter(2), save_components={"a"})
    checkpoint.save(tmp_path / "a")
    checkpoint.save(tmp_path / "b", components=["b"])
    assert load_state(tmp_path / "a") == {"a": {"count": 1}}
    assert load_state(tmp_path / "b") == {"b": {"count": 2}}
    with pytest.raises(CheckpointError, match="Did you mean `a`"):
        Checkpoint(a=Counter(1), save_components=["aa"]).save(tmp_path / "c")
    with pytest.raises(CheckpointError, match=r"expected several: \['ab'\]"):
        checkpoint.save(tmp_path / "c", components="ab")


def test_a_part_is_read_alone(container, tmp_path):
    """What is not asked for is not even checked: a large buffer stays on the disk."""
    path = Checkpoint(format=container, a=Counter(1), b=Folder("x" * 1000)).save(tmp_path / "saved")
    if container == "directory":
        (victim,) = path.glob("components-*/0001-b/inner/text")
        victim.write_text("damaged")
    a, b = Counter(0), Folder("y")
    result = Checkpoint(a=a, b=b).load(path, components=["a"])
    assert (a.count, b.text, result.unrequested) == (1, "y", {"b"})
    if container == "directory":
        with pytest.raises(CheckpointError, match=r"text` is damaged: field `components.b.files"):
            Checkpoint(a=a, b=b).load(path)


@pytest.fixture
def partly(tmp_path):
    """A checkpoint whose `bad` is refused and that lacks `absent`, and what would load it."""
    model, _ = trained(0)
    Checkpoint(model=model, bad=Counter(-1), text=Folder("new")).save(tmp_path)
    parts = {"model": trained(1)[0], "bad": Counter(5), "text": Folder("old")}
    return tmp_path, model, parts


def test_error_restores_nothing_and_has_the_report(partly):
    path, _, parts = partly
    before = copy.deepcopy(parts["model"].state_dict())
    parts = {"text": parts["text"], "model": parts["model"], "bad": parts["bad"]}
    with pytest.raises(CheckpointError, match="`bad` refuses its saved state, nothing") as error:
        Checkpoint(**parts).load(path)
    result = error.value.result
    assert result.incompatible == {"bad": "a count is not negative."}
    assert (result.loaded, result.values) == (set(), {})
    assert (parts["bad"].count, parts["text"].text) == (5, "old")
    assert all(torch.equal(v, before[k]) for k, v in parts["model"].state_dict().items())


def test_a_missing_part_is_found_before_anything_is_read(partly):
    path, _, parts = partly
    with pytest.raises(CheckpointError, match=r"`modell` is not in the .*mean `model`") as error:
        Checkpoint(text=parts["text"], modell=parts["model"]).load(path)
    assert error.value.result.missing == {"modell"}
    assert parts["text"].text == "old"


@pytest.mark.parametrize("level", ["warn", "ignore"])
def test_other_levels_restore_the_rest(level, partly):
    path, model, parts = partly
    checkpoint = Checkpoint(strict=level, absent=Counter(7), **parts)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        result = checkpoint.load(path)
    assert result.loaded == {"model", "text"}
    assert (result.missing, set(result.incompatible)) == ({"absent"}, {"bad"})
    assert torch.equal(parts["model"].weight, model.weight)
    assert (parts["bad"].count, parts["text"].text) == (5, "new")
    assert ["restored in part" in str(w.message) for w in heard] == [True] * (level == "warn")
    with pytest.raises(CheckpointError, match="`absent` is not in the checkpoint"):
        checkpoint.load(path, strict="error")


@pytest.mark.parametrize("level", ["error", "ignore"])
def test_damage_raises_at_every_level(level, container, tmp_path):
    path = Checkpoint(format=container, text=Folder("long text " * 100)).save(tmp_path / "saved")
    if container == "archive":
        with zipfile.ZipFile(path) as archive:
            (place,) = [i.header_offset for i in archive.infolist() if i.filename.endswith("text")]
        raw = bytearray(path.read_bytes())
        raw[place + 200] ^= 1
        path.write_bytes(raw)
    else:
        (victim,) = path.glob("components-*/*/inner/text")
        victim.write_text(victim.read_text()[:-1])
    text = Folder("old")
    with pytest.raises(CheckpointError, match=r"text`.*Load an earlier checkpoint"):
        Checkpoint(text=text).load(path, strict=level)
    assert text.text == "old"


def test_an_interrupt_restores_what_was_there(tmp_path):
    class Interrupted(Counter):
        def load_state_dict(self, state_dict):
            if state_dict["count"] == 1:
                raise KeyboardInterrupt
            super().load_state_dict(state_dict)

    Checkpoint(a=Counter(9), b=Counter(1)).save(tmp_path)
    a, b = Counter(5), Interrupted(6)
    for load in (
        lambda c: c.load(tmp_path),
        lambda c: c.load_state_dict(load_state(tmp_path)),
    ):
        with pytest.raises(KeyboardInterrupt):
            load(Checkpoint(a=a, b=b))
        assert (a.count, b.count) == (5, 6)


def test_parts_that_share_tensors_are_undone_together(tmp_path):
    layer = torch.nn.Linear(1, 1)
    net = torch.nn.Sequential(layer)
    Checkpoint(layer=layer, net=net, bad=Counter(-1)).save(tmp_path)
    torch.nn.init.constant_(layer.weight, 7.0)
    with pytest.raises(CheckpointError, match="`bad` refuses"):
        Checkpoint(layer=layer, net=net, bad=Counter(1)).load(tmp_path)
    assert layer.weight.item() == 7.0


def test_what_cannot_be_put_aside_is_not_loaded(tmp_path):
    class Unready(Folder):
        def dump(self, path):
            raise RuntimeError("not filled yet.")

    Checkpoint(a=Counter(1), text=Folder("x")).save(tmp_path)
    a = Counter(0)
    with pytest.raises(CheckpointError, match=r"not filled yet. Give it an adapter"):
        Checkpoint(a=a, text=Unready("old")).load(tmp_path)
    assert a.count == 0


@pytest.mark.parametrize(
    ("setting", "fix"),
    [
        ({"format": "folder"}, "`format` is 'folder'"),
        ({"strict": "warning"}, "Did you mean `warn`"),
        ({"archive_compression": "gzip"}, "`archive_compression` is 'gzip'"),
    ],
)
def test_settings_are_checked(setting, fix):
    with pytest.raises(CheckpointError, match=fix):
        Checkpoint(**setting)


# -------------------------------------------------------- adapters and options


def test_random_generators_come_last(tmp_path):
    """A component that draws while it loads does not move them."""

    class Draws(Counter):
        def load_state_dict(self, state_dict):
            torch.rand(3)

    checkpoint = Checkpoint(rng=GlobalRNGState(), draws=Draws(0))
    checkpoint.save(tmp_path)
    expected = torch.rand(2)
    checkpoint.load(tmp_path)
    assert torch.equal(torch.rand(2), expected)


def test_options_reach_the_methods(tmp_path):
    text = Folder("x")
    options = CheckpointOptions(save_args=(1,), save_kwargs={"a": 1, "b": 1}, load_args=(5,))
    checkpoint = Checkpoint().register("text", text, options=options)
    override = {"text": CheckpointOptions(save_kwargs={"b": 2}, load_kwargs={"c": 3})}
    checkpoint.save(tmp_path, component_options=override)
    assert text.arguments == ((1,), {"a": 1, "b": 2})
    checkpoint.load(tmp_path, component_options=override)
    assert text.arguments == ((5,), {"c": 3})
    with pytest.raises(CheckpointError, match="`texts` is not a component here"):
        checkpoint.save(tmp_path, component_options={"texts": CheckpointOptions()})


def test_a_model_takes_part_of_its_state_by_an_option(tmp_path):
    Checkpoint(net=torch.nn.Linear(2, 1)).save(tmp_path)
    net = torch.nn.Linear(2, 1, bias=False)
    with pytest.raises(CheckpointError, match="Unexpected key"):
        Checkpoint(net=net).load(tmp_path)
    options = {"net": CheckpointOptions(load_kwargs={"strict": False})}
    assert Checkpoint(net=net).load(tmp_path, component_options=options).loaded == {"net"}
    assert torch.equal(net.weight, load_state(tmp_path)["net"]["weight"])


class Text(CheckpointAdapter):
    adapter_id = "test.text"

    def save(self, component, path, *, args, kwargs):
        (path / "text").write_text(component.text)

    def load(self, component, path, *, map_location, tensor_load_kwargs, args, kwargs):
        component.text = (path / "text").read_text()
        return component.text.upper()


def test_adapters_of_ones_own(tmp_path):
    class Note:
        text = "hello"

    class Longer(Note):
        text = "hello there"

    note = Longer()
    with pytest.raises(CheckpointError, match="adapter="):
        Checkpoint(note=note)
    by_name = Checkpoint().register("note", note, adapter=Text())
    by_type = Checkpoint().register_adapter(Note, Text()).register("note", note)
    for checkpoint in (by_name, by_type):
        path = checkpoint.save(tmp_path)
        note.text = "changed"
        assert checkpoint.load(path).values == {"note": "HELLO THERE"}
        assert note.text == "hello there"


def test_the_adapter_that_saved_must_load(tmp_path):
    Checkpoint().register("text", Folder("x"), adapter=Text()).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"saved by the adapter `test.text`, here.*register"):
        Checkpoint(text=Folder("y")).load(tmp_path)

    class Newer(Text):
        format_version = 2

    Checkpoint().register("text", Folder("x"), adapter=Newer()).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"`adapter_version` is 2, .* reads up to 1: upgrade"):
        Checkpoint().register("text", Folder("y"), adapter=Text()).load(tmp_path)


def test_names_are_checked():
    checkpoint = Checkpoint(a=1)
    with pytest.raises(CheckpointError, match="`a` is registered already"):
        checkpoint.register("a", 2)
    for name in ("", "a/b", "..\\x"):
        with pytest.raises(CheckpointError, match="no name of a component"):
            checkpoint.register(name, 1)
    with pytest.raises(TypeError):
        checkpoint.components["a"] = 2


def test_payload_formats_mix(tmp_path):
    checkpoint = Checkpoint()
    layers = {}
    for kind in ("directory", "archive", "consolidated"):
        layers[kind] = torch.nn.Linear(2, 2)
        checkpoint.register(kind, layers[kind], adapter=StateDictCheckpointAdapter(kind))
    checkpoint.save(tmp_path)
    expected = {kind: layer.weight.detach().clone() for kind, layer in layers.items()}
    for layer in layers.values():
        torch.nn.init.zeros_(layer.weight)
    fresh = Checkpoint(**layers)  # which format was written is seen by the files
    fresh.load(tmp_path)
    assert all(torch.equal(layers[kind].weight, expected[kind]) for kind in layers)


def test_json_values_in_memory():
    progress = {"frames": 1}
    checkpoint = Checkpoint(progress=progress, counter=Counter(2))
    state = copy.deepcopy(checkpoint.state_dict())
    assert state == {"progress": {"frames": 1}, "counter": {"count": 2}}
    progress["frames"] = 9
    with pytest.raises(CheckpointError, match="`counter` refuses"):
        checkpoint.load_state_dict({"progress": {"frames": 3}, "counter": {"count": -1}})
    assert progress == {"frames": 9}
    checkpoint.load_state_dict(state)
    assert progress == {"frames": 1}
    with pytest.raises(CheckpointError, match="use `save` and `load`"):
        Checkpoint(text=Folder("x")).state_dict()


def test_a_scheduler_goes_on(tmp_path):
    def build():
        model, optim = trained(0)
        steps = torch.optim.lr_scheduler.MultiStepLR(optim, [2, 3, 3, 5], gamma=0.5)
        return Checkpoint(model=model, optim=optim, steps=steps)

    def rates(checkpoint, n):
        optim, steps = checkpoint.components["optim"], checkpoint.components["steps"]
        found = []
        for _ in range(n):
            optim.step()
            steps.step()
            found.append(steps.get_last_lr())
        return found

    whole, cut = build(), build()
    expected = rates(whole, 6)
    first = rates(cut, 2)
    cut.save(tmp_path)
    resumed = build()
    resumed.load(tmp_path)
    assert first + rates(resumed, 4) == expected
    milestones = resumed.components["steps"].milestones
    assert milestones == whole.components["steps"].milestones
    assert sorted(milestones.elements()) == [2, 3, 3, 5]


# ------------------------------------------------------------------ kill -9


SAVER = """
import sys, torch
from rl.core.checkpoint import Checkpoint

class Folder:
    def dump(self, path):
        for part in range(4):
            (path / str(part)).write_text(f"{progress['step']}\\n" * 20_000)
    def load(self, path):
        pass

layer, progress, step = torch.nn.Linear(300, 300), {}, 0
checkpoint = Checkpoint(layer=layer, progress=progress, folder=Folder(), format=sys.argv[2])
while True:
    step += 1
    torch.nn.init.constant_(layer.weight, float(step))
    progress["step"] = step
    checkpoint.save(sys.argv[1])
    print(step, flush=True)
"""


class Read:
    def dump(self, path):
        pass

    def load(self, path):
        self.steps = {line for part in range(4) for line in (path / str(part)).read_text().split()}


def test_kill_nine_while_saving_leaves_a_whole_checkpoint(container, tmp_path):
    path, rng = tmp_path / "saved", random.Random(0)
    layer, progress, folder = torch.nn.Linear(300, 300), {}, Read()
    checkpoint = Checkpoint(layer=layer, progress=progress, folder=folder, format=container)
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path), container], stdout=subprocess.PIPE, text=True
        )
        try:
            done = int(process.stdout.readline())
            time.sleep(rng.uniform(0.0, 0.1))
        finally:
            process.send_signal(signal.SIGKILL)
            rest = process.communicate(timeout=30)[0].split()
        assert checkpoint.load(path).loaded == {"layer", "progress", "folder"}
        assert progress["step"] >= max([done, *map(int, rest)])
        assert (layer.weight == progress["step"]).all()
        assert folder.steps == {str(progress["step"])}
    checkpoint.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved"], "what kills left is cleaned"
    assert container == "archive" or len(os.listdir(path)) == 2


KILLER = """
import os, signal, sys, torch
from pathlib import Path
from rl.core.checkpoint import Checkpoint

torch.set_num_threads(1)
path, container = Path(sys.argv[1]), sys.argv[2]
layer, progress = torch.nn.Linear(3, 3), {"step": 0}
checkpoint = Checkpoint(layer=layer, progress=progress, format=container)

def save(step):
    torch.nn.init.constant_(layer.weight, float(step))
    progress["step"] = step
    checkpoint.save(path)

def dies_at(operation, step):
    left = operation

    def hook(event, arguments):
        nonlocal left
        if event == "open" or event.startswith(("os.", "shutil.")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        sys.addaudithook(hook)
        save(step)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

save(1)
operation, olds, news = 0, 0, 0
while True:
    operation += 1
    killed = dies_at(operation, operation + 1)
    checkpoint.load(path)
    step = progress["step"]
    assert (layer.weight == step).all(), "two saves are mixed"
    olds, news = olds + (step < operation + 1), news + (step == operation + 1)
    if not killed:
        break
    save(1)
names = [p.name for p in path.parent.iterdir()]
print(operation, olds, news, *names)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks itself")
def test_killed_at_each_of_its_file_operations_in_turn(container, tmp_path):
    """The old checkpoint before one moment, the new one after it, never a mixture."""
    command = [sys.executable, "-W", "ignore", "-c", KILLER, str(tmp_path / "saved"), container]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    operations, olds, news, *names = done.stdout.split()
    assert int(operations) > 10
    assert int(olds) > 5
    assert int(news) >= 1
    assert names == ["saved"], "what kills left is cleaned"


def test_the_files_need_no_library_to_read(tmp_path):
    """JSON and safetensors: what is saved outlives the program."""
    path = Checkpoint(layer=torch.nn.Linear(1, 1), n=3).save(tmp_path)
    document = json.loads((path / "manifest.json").read_bytes())
    assert document["body"]["components"]["n"]["path"] == "0001-n"
    suffixes = {file.suffix for file in path.rglob("*") if file.is_file()}
    assert suffixes == {".json", ".safetensors"}
