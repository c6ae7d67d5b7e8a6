import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.core import NotRegisteredError, ShapeError
from rl.data import DatasetError, OpenXExperienceReplay, SamplerWithoutReplacement
from rl.data.datasets.hosts import HubRepository
from rl.data.datasets.openx_stream import TrajectorySlices

image = pytest.importorskip("PIL.Image")

NAME = "cmu_stretch"


def jpeg(value):
    file = io.BytesIO()
    image.fromarray(np.full((8, 6, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def episode(begin, length, terminal=False):
    return {
        "steps": [
            {
                "observation": {
                    "image": {"bytes": jpeg(begin + t), "path": None},
                    "state": np.full(4, begin + t, np.float64),
                },
                "action": {"arm": np.full(7, begin + t, np.float32), "open": np.bool_(t % 2)},
                "reward": np.float32(t),
                "discount": np.float32(1),
                "is_first": t == 0,
                "is_last": t == length - 1,
                "is_terminal": terminal and t == length - 1,
                "language_instruction": b"lift the lid",
            }
            for t in range(length)
        ]
    }


def tar(*episodes):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        for number, value in enumerate(episodes):
            data = value if isinstance(value, bytes) else pickle.dumps(value)
            entry = tarfile.TarInfo(f"{number:05d}.data.pickle")
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def put(root, *tars):
    raw = root / NAME / "raw"
    raw.mkdir(parents=True)
    for number, content in enumerate(tars):
        (raw / f"{NAME}_{number:05d}.tar").write_bytes(content)
    return root


@pytest.fixture
def root(tmp_path):
    return put(tmp_path, tar(episode(1, 3), episode(10, 4, terminal=True)), tar(episode(30, 3)))


def column(rows, *key):
    return rows[key].reshape(len(rows), -1)[:, 0].tolist()


def test_steps_become_transitions(root):
    data = OpenXExperienceReplay(NAME, 2, root=root)
    rows = data[:]
    assert column(rows, "observation", "state") == [1, 2, 10, 11, 12, 30, 31]
    assert column(rows, "next", "observation", "state") == [2, 3, 11, 12, 13, 31, 32]
    assert column(rows, "observation", "image") == column(rows, "observation", "state")
    assert rows["observation", "image"].shape == (7, 3, 8, 6)
    assert column(rows, "action", "arm") == column(rows, "observation", "state")
    assert rows["action", "open"].dtype == torch.bool
    assert column(rows, "next", "reward") == [0, 1, 0, 1, 2, 0, 1]
    assert column(rows, "next", "terminated") == [False] * 4 + [True] + [False] * 2
    assert column(rows, "next", "truncated") == [False, True, False, False, False, False, True]
    assert column(rows, "is_init") == [True, False, True, False, False, True, False]
    assert column(rows, "episode") == [0, 0, 1, 1, 1, 2, 2]
    assert data.sample().get("language_instruction").tolist() == ["lift the lid"] * 2


def test_arguments_choose_the_sampler(root):
    data = OpenXExperienceReplay(NAME, 4, root=root, num_slices=2)
    state = data.sample()["observation", "state"][:, 0].reshape(2, 2)
    assert (state[:, 1] - state[:, 0] == 1).all()
    data = OpenXExperienceReplay(NAME, 4, root=root, replacement=False)
    assert isinstance(data.sampler, SamplerWithoutReplacement)
    assert sum(map(len, data)) == 7
    data = OpenXExperienceReplay(NAME, 6, root=root, slice_len=3, pad=0)
    torch.manual_seed(0)
    masks = [data.sample().get(("collector", "mask"), None) for _ in range(5)]
    assert any(mask is not None and not mask.all() for mask in masks)


def test_a_stream_hands_out_trajectories_in_order(root):
    data = OpenXExperienceReplay(NAME, root=root, streaming=True, shuffle=False)
    for _ in range(2):
        first = [column(batch, "observation", "state") for batch in data]
        assert first == [[1, 2], [10, 11, 12], [30, 31]]
    assert data.sample().get("language_instruction").tolist() == ["lift the lid"] * 2
    assert not (root / NAME / "rows").exists()
    with pytest.raises(TypeError, match="has no length"):
        len(data)


def test_a_stream_hands_out_slices(root):
    data = OpenXExperienceReplay(
        NAME,
        4,
        root=root,
        streaming=True,
        num_slices=2,
        transform=lambda td: td.set("seen", td["is_init"]),
    )
    batch = data.sample()
    state = batch["observation", "state"][:, 0].reshape(2, 2)
    assert (state[:, 1] - state[:, 0] == 1).all()
    assert "seen" in batch.keys()  # noqa: SIM118
    assert len(list(OpenXExperienceReplay(NAME, 4, root=root, streaming=True, slice_len=2))) == 1
    with pytest.raises(RuntimeError, match="too few trajectories"):
        OpenXExperienceReplay(NAME, 20, root=root, streaming=True, slice_len=2).sample()


@pytest.mark.parametrize("options", [{"split_trajs": True}, {"prefetch": 2}, {"replacement": True}])
def test_a_stream_refuses_what_needs_all_rows(options, root):
    with pytest.raises(ValueError, match="pass `streaming=False`"):
        OpenXExperienceReplay(NAME, root=root, streaming=True, **options)


@pytest.mark.parametrize("streaming", [False, True])
def test_tars_are_fetched(streaming, root, server, monkeypatch, tmp_path):
    listed = []
    for path in sorted((root / NAME / "raw").iterdir()):
        server.files[f"/datasets/me/it/resolve/main/{NAME}/{path.name}"] = path.read_bytes()
        size = path.stat().st_size
        listed.append({"type": "file", "path": f"{NAME}/{path.name}", "size": size})
    listing = f"/api/datasets/me/it/tree/main/{NAME}?recursive=true"
    server.answers[listing] = json.dumps(listed).encode()
    repository = HubRepository("me/it", endpoint=server.url)
    monkeypatch.setattr(OpenXExperienceReplay, "repository", repository)
    here = tmp_path / "here"
    data = OpenXExperienceReplay(NAME, root=here, streaming=streaming, shuffle=False)
    rows = torch.cat(list(data)) if streaming else data[:]
    assert column(rows, "observation", "state") == [1, 2, 10, 11, 12, 30, 31]
    assert here.exists() is not streaming


def test_an_unknown_dataset_suggests_the_nearest(tmp_path):
    with pytest.raises(NotRegisteredError, match="Did you mean `cmu_stretch`"):
        OpenXExperienceReplay("cmu_strech", root=tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x" * 600, "is no tar or is damaged"),
        (tar(episode(1, 3))[:2000], "is damaged"),
        (tar({"x": 1}), "lacks a list of `steps`"),
        (tar({"steps": [{"action": 1}]}), "a step lacks `observation`"),
        (tar(pickle.dumps(print)), r"the name `builtins.print`"),
    ],
)
def test_other_files_are_named(content, said, tmp_path):
    with pytest.raises(DatasetError, match=said):
        OpenXExperienceReplay(NAME, root=put(tmp_path, content))


def runs(*lengths):
    def restart():
        return iter([TensorDict({"x": torch.arange(n) + 100 * n}, [n]) for n in lengths])

    return restart


def test_slices_of_a_stream():
    assert TrajectorySlices(runs(3, 5)).next(None)["x"].tolist() == [300, 301, 302]
    x = TrajectorySlices(runs(5, 5), slice_len=2).next(4)["x"].reshape(2, 2)
    assert (x[:, 1] - x[:, 0] == 1).all()
    assert TrajectorySlices(runs(3, 5), num_slices=2).next(None).shape == (8,)
    padded = TrajectorySlices(runs(2), slice_len=3, pad=-1.0).next(3)
    assert padded["x"].tolist() == [200, 201, -1]
    assert padded["collector", "mask"].tolist() == [True, True, False]


def test_slices_of_a_stream_raise():
    with pytest.raises(ShapeError, match="Pass `pad=0`"):
        TrajectorySlices(runs(2), slice_len=3).next(3)
    with pytest.raises(ValueError, match="a multiple of `num_slices`"):
        TrajectorySlices(runs(4, 4), num_slices=2).next(3)
