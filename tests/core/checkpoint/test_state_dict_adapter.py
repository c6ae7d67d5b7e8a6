import zipfile

import pytest
import torch

from rl.core.checkpoint import StateDictCheckpointAdapter
from rl.core.errors import CheckpointError

NOTHING = {"map_location": None, "tensor_load_kwargs": {}, "args": (), "kwargs": {}}


def trained():
    model = torch.nn.Linear(2, 2)
    optim = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optim.step()
    return optim


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        (("directory",), 2),
        (("consolidated",), 1),
        (("archive",), 1),
        (("archive", "deflate"), 1),
        (("archive", 9), 1),
    ],
)
def test_an_optimizer_round_trips_in_every_format(settings, files, tmp_path):
    kind, *compression = settings
    adapter = StateDictCheckpointAdapter(kind, archive_compression=(*compression, None)[0])
    one, two = trained(), trained()
    adapter.save(one, tmp_path, args=(), kwargs={})
    assert len(list(tmp_path.iterdir())) == files
    StateDictCheckpointAdapter().load(two, tmp_path, **NOTHING)
    assert str(two.state_dict()) == str(one.state_dict())


def test_compression_compresses(tmp_path):
    layer = torch.nn.Linear(64, 64)
    torch.nn.init.zeros_(layer.weight)
    sizes = []
    for setting in ("stored", 1):
        folder = tmp_path / str(setting)
        folder.mkdir()
        adapter = StateDictCheckpointAdapter("archive", archive_compression=setting)
        adapter.save(layer, folder, args=(), kwargs={})
        (file,) = folder.iterdir()
        assert zipfile.is_zipfile(file)
        sizes.append(file.stat().st_size)
    assert sizes[1] < sizes[0] / 4


def test_arguments_are_those_of_the_methods(tmp_path):
    class Part:
        def state_dict(self, prefix, upper=False):
            return {"given": (prefix, upper)}

        def load_state_dict(self, state, strict, assign=False):
            self.given = (state["given"], strict, assign)

    part, adapter = Part(), StateDictCheckpointAdapter()
    adapter.save(part, tmp_path, args=("p",), kwargs={"upper": True})
    adapter.load(part, tmp_path, **{**NOTHING, "args": (False,), "kwargs": {"assign": True}})
    assert part.given == (("p", True), False, True)


def test_map_location_is_where_tensors_are_put(tmp_path):
    class Part:
        def state_dict(self):
            return {"x": torch.ones(2)}

        def load_state_dict(self, state):
            self.device = state["x"].device.type

    for kind in ("directory", "consolidated", "archive"):
        folder = tmp_path / kind
        folder.mkdir()
        part, adapter = Part(), StateDictCheckpointAdapter(kind)
        adapter.save(part, folder, args=(), kwargs={})
        adapter.load(part, folder, **{**NOTHING, "map_location": "meta"})
        assert part.device == "meta"


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"payload_format": "torch"}, "Use 'directory', 'archive' or 'consolidated'"),
        ({"payload_format": "folder"}, "`payload_format` is 'folder'. Did you mean `consolidated`"),
        ({"archive_compression": "deflate"}, "pass `payload_format='archive'`"),
        ({"payload_format": "archive", "archive_compression": "gz"}, "level from 0 to 9"),
        ({"payload_format": "archive", "archive_compression": 10}, "level from 0 to 9"),
        ({"payload_format": "archive", "archive_compression": True}, "level from 0 to 9"),
    ],
)
def test_settings_are_checked(settings, fix):
    with pytest.raises(CheckpointError, match=fix):
        StateDictCheckpointAdapter(**settings)


def test_what_only_pickles_take_is_refused(tmp_path):
    adapter = StateDictCheckpointAdapter()
    layer = torch.nn.Linear(1, 1)
    adapter.save(layer, tmp_path, args=(), kwargs={})
    adapter.load(layer, tmp_path, **{**NOTHING, "tensor_load_kwargs": {"weights_only": True}})
    with pytest.raises(CheckpointError, match="Leave it out"):
        adapter.load(layer, tmp_path, **{**NOTHING, "tensor_load_kwargs": {"mmap": True}})
