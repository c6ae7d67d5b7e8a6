import json

import numpy as np
import pytest

from rl.core import NotRegisteredError
from rl.data import DatasetError, DatasetNotFoundError, RobosetExperienceReplay
from rl.data.datasets.hosts import HubRepository

h5py = pytest.importorskip("h5py")

NAME = "DAPG(expert)/door_v2d-v1"


def trial(begin, length, done=None):
    t = begin + np.arange(length, dtype=np.float64)
    found = {
        "observations": np.repeat(t[:, None], 5, 1),
        "actions": np.repeat(t[:, None], 2, 1),
        "rewards": t / 2,
        "time": t / 10,
        "env_infos/solved": t > begin,
        "env_infos/obs_dict/speed": np.repeat(t[:, None], 3, 1),
        "env_infos/name": np.array([b"x"] * length),
    }
    if done is not None:
        found["done"] = np.arange(length) == done
    return found


def put(root, *files, name=NAME):
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for number, trials in enumerate(files):
        with h5py.File(raw / f"door_{number}.h5", "w") as file:
            # groups are listed by name, so that Trial10 comes before Trial2
            for index, arrays in trials.items():
                for key, value in arrays.items():
                    file[f"Trial{index}/{key}"] = value
    return root


def column(data, *key):
    return data[:][key].reshape(len(data), -1)[:, 0].tolist()


@pytest.fixture
def root(tmp_path):
    return put(tmp_path, {2: trial(1, 3), 10: trial(10, 2, done=1)}, {0: trial(20, 3)})


def test_trials_are_read_in_order(root):
    data = RobosetExperienceReplay(NAME, 2, root=root)
    assert column(data, "observation") == [1, 2, 10, 11, 20, 21]
    assert column(data, "next", "observation") == [2, 3, 11, 0, 21, 22]
    assert column(data, "action") == [1, 2, 10, 11, 20, 21]
    assert column(data, "next", "reward") == [0.5, 1, 5, 5.5, 10, 10.5]
    assert column(data, "next", "terminated") == [False] * 3 + [True, False, False]
    assert column(data, "next", "truncated") == [False, True, False, False, False, True]
    assert column(data, "seed") == [0, 0, 0, 0, 1, 1]
    assert column(data, "episode") == [0, 0, 1, 1, 2, 2]
    assert column(data, "time") == [0.1, 0.2, 1, 1.1, 2, 2.1]
    assert column(data, "info", "obs_dict", "speed") == column(data, "observation")
    assert column(data, "next", "info", "solved") == [True, True, True, False, True, True]
    assert "name" not in data[:]["info"].keys()  # noqa: SIM118
    assert data.sample()["next", "reward"].shape == (2, 1)


def test_split_trajectories(root):
    data = RobosetExperienceReplay(NAME, 2, root=root, split_trajs=True)
    assert data[:]["observation"].shape == (3, 2, 5)


def test_files_are_downloaded(tmp_path, server, monkeypatch):
    put(tmp_path / "there", {0: trial(1, 3)})
    content = (tmp_path / "there" / NAME / "raw" / "door_0.h5").read_bytes()
    folder = "DAPG%28expert%29/door_v2d-v1"
    server.files[f"/datasets/me/it/resolve/main/{folder}/door_0.h5"] = content
    listed = [{"type": "file", "path": f"{NAME}/door_0.h5", "size": len(content)}]
    listing = f"/api/datasets/me/it/tree/main/{folder}?recursive=true"
    server.answers[listing] = json.dumps(listed).encode()
    server.answers[listing.replace("door", "pen")] = b"[]"
    repository = HubRepository("me/it", endpoint=server.url)
    monkeypatch.setattr(RobosetExperienceReplay, "repository", repository)
    assert len(RobosetExperienceReplay(NAME, root=tmp_path / "here")) == 2
    with pytest.raises(DatasetNotFoundError, match="holds no HDF5 file"):
        RobosetExperienceReplay(NAME.replace("door", "pen"), root=tmp_path / "here")


def test_an_unknown_dataset_suggests_the_nearest(tmp_path):
    with pytest.raises(NotRegisteredError, match=r"Did you mean `DAPG\(expert\)/door_v2d-v1`"):
        RobosetExperienceReplay("DAPG(expert)/door_v2d", root=tmp_path)


def test_other_files_are_named(tmp_path):
    put(tmp_path / "a", {0: {"observations": np.zeros((2, 3))}})
    with pytest.raises(DatasetError, match="`Trial0` lacks `actions`"):
        RobosetExperienceReplay(NAME, root=tmp_path / "a")
    put(tmp_path / "b", {0: trial(1, 3)})
    (tmp_path / "b" / NAME / "raw" / "door_0.h5").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"door_0.h5` is no HDF5 file"):
        RobosetExperienceReplay(NAME, root=tmp_path / "b")
