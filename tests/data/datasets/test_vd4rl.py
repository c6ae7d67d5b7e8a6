import json

import numpy as np
import pytest
import torch

from rl.data import DatasetError, DatasetNotFoundError, VD4RLExperienceReplay
from rl.data.datasets.hosts import HubRepository

h5py = pytest.importorskip("h5py")

NAME = "main/walker_walk/random/64px"


def dreamer(begin, length, terminal=False):
    """An episode as Dreamer writes it: a row holds what led to its image."""
    t = np.arange(length)
    image = np.zeros((length, 64, 64, 3), np.uint8)
    image[..., 1] = (begin + t)[:, None, None]
    return {
        "image": image,
        "action": np.repeat(t[:, None], 6, 1).astype(np.float32),
        "reward": t.astype(np.float64),
        "discount": np.ones(length, np.float32),
        "is_first": t == 0,
        "is_last": t == length - 1,
        "is_terminal": (t == length - 1) & terminal,
        "height": (begin + t).astype(np.float32),
    }


def put(root, *episodes, name=NAME):
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for number, episode in enumerate(episodes):
        np.savez(raw / f"{number:03d}.npz", **episode)
    return root


def column(data, *key):
    return data.storage[:][key].reshape(len(data), -1)[:, 0].tolist()


@pytest.fixture
def root(tmp_path):
    return put(tmp_path, dreamer(1, 3), dreamer(10, 3, terminal=True))


def test_rows_become_transitions(root):
    data = VD4RLExperienceReplay(NAME, 2, root=root)
    assert column(data, "observation", "height") == [1, 2, 10, 11]
    assert column(data, "next", "observation", "height") == [2, 3, 11, 12]
    assert column(data, "action") == [1, 2, 1, 2]
    assert column(data, "next", "reward") == [1, 2, 1, 2]
    assert column(data, "next", "terminated") == [False, False, False, True]
    assert column(data, "next", "truncated") == [False, True, False, False]
    assert column(data, "is_init") == [True, False, True, False]
    assert column(data, "episode") == [0, 0, 1, 1]
    green = data.storage[:]["next", "pixels"][:, 1, 0, 0]
    assert green.tolist() == [2, 3, 11, 12]


def test_pixels_of_batches(root):
    plain = VD4RLExperienceReplay(NAME, 2, root=root, totensor=False)
    assert plain.sample()["pixels"].dtype == torch.uint8
    data = VD4RLExperienceReplay(NAME, 2, root=root, image_size=(20, 30))
    batch = data.sample()
    assert batch["pixels"].shape == batch["next", "pixels"].shape == (2, 3, 20, 30)
    expected = batch["observation", "height"] / 255
    assert torch.allclose(batch["pixels"][:, 1, 5, 5], expected)
    resized = VD4RLExperienceReplay(NAME, 2, root=root, totensor=False, image_size=16)[:]
    assert resized["pixels"].dtype == torch.uint8
    assert resized["pixels"][:, 1, 0, 0].tolist() == [1, 2, 10, 11]


def test_transforms_see_floats(root):
    seen = []
    VD4RLExperienceReplay(
        NAME, 2, root=root, transform=lambda td: seen.append(td["pixels"].dtype) or td
    ).sample()
    assert seen == [torch.float32]


def test_split_trajectories(root):
    data = VD4RLExperienceReplay(NAME, 2, root=root, split_trajs=True, image_size=32)
    assert data[:]["pixels"].shape == (2, 2, 3, 32, 32)


def test_hdf5_files_of_several_episodes(tmp_path):
    raw = tmp_path / "main" / "84px" / "raw"
    raw.mkdir(parents=True)
    with h5py.File(raw / "shard.hdf5", "w") as file:
        file["observation"] = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(3, 1)
        file["action"] = np.arange(5, dtype=np.float32)[:, None]
        file["reward"] = np.arange(5, dtype=np.float32)
        file["discount"] = np.array([1, 1, 0, 1, 1], np.float32)
        file["step_type"] = np.array([0, 1, 2, 0, 2])
    data = VD4RLExperienceReplay("main/84px", 2, root=tmp_path, totensor=False)
    assert column(data, "pixels") == [0, 1, 3]
    assert column(data, "next", "pixels") == [1, 2, 4]
    assert column(data, "next", "terminated") == [False, True, False]
    assert column(data, "next", "truncated") == [False, False, True]


@pytest.mark.parametrize("workers", [0, 2])
def test_files_are_downloaded(workers, tmp_path, server, monkeypatch):
    put(tmp_path / "there", dreamer(1, 3), dreamer(10, 3))
    entries = []
    for path in sorted((tmp_path / "there" / NAME / "raw").iterdir()):
        name = f"vd4rl/{NAME}/{path.name}"
        server.files[f"/datasets/me/it/resolve/main/{name}"] = path.read_bytes()
        entries.append({"type": "file", "path": name, "size": path.stat().st_size})
    server.answers["/api/datasets/me/it/tree/main?recursive=true"] = json.dumps(entries).encode()
    repository = HubRepository("me/it", endpoint=server.url)
    monkeypatch.setattr(VD4RLExperienceReplay, "repository", repository)
    assert VD4RLExperienceReplay.available_datasets == [NAME]
    data = VD4RLExperienceReplay(NAME, root=tmp_path / "here", num_workers=workers)
    assert column(data, "observation", "height") == [1, 2, 10, 11]
    with pytest.raises(DatasetNotFoundError, match="available_datasets"):
        VD4RLExperienceReplay("main/none", root=tmp_path / "here")


def test_other_files_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"000.npz` lacks `image`"):
        VD4RLExperienceReplay(NAME, root=put(tmp_path / "a", {"x": np.zeros(3)}))
    put(tmp_path / "b", dreamer(1, 3))
    (tmp_path / "b" / NAME / "raw" / "000.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(DatasetError, match=r"000.npz` is damaged"):
        VD4RLExperienceReplay(NAME, root=tmp_path / "b")


def test_pickled_arrays_are_refused(tmp_path):
    episode = {**dreamer(1, 3), "reward": np.array([None] * 3)}
    with pytest.raises(DatasetError, match="is damaged"):
        VD4RLExperienceReplay(NAME, root=put(tmp_path, episode))
