import io
import tarfile

import numpy as np
import pytest

from rl.core import NotRegisteredError
from rl.data import DatasetError, GenDGRLExperienceReplay

NAME = "maze-1M_E"


def episode(begin, length, last=True, extra=1):
    observations = np.full((length + extra, 64, 64, 3), 0, np.uint8)
    observations[:, 0, 0, 0] = begin + np.arange(length + extra)
    return {
        "observations": observations,
        "actions": np.arange(length),
        "rewards": np.arange(length, dtype=np.float32),
        "dones": np.arange(length) == (length - 1 if last else -1),
    }


def packed(value):
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def tar(*members, mode="w:xz"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as out:
        for number, data in enumerate(members):
            entry = tarfile.TarInfo(f"maze/{number}.npy")
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def put(root, content):
    raw = root / NAME / "raw"
    raw.mkdir(parents=True)
    (raw / "maze.tar.xz").write_bytes(content)
    return root


def column(data, *key):
    return data[:][key].reshape(len(data), -1)[:, 0].tolist()


def test_episodes_are_read_in_order(tmp_path):
    content = tar(packed(episode(1, 2)), packed(episode(10, 3, last=False)))
    data = GenDGRLExperienceReplay(NAME, 2, root=put(tmp_path, content))
    assert column(data, "observation") == [1, 2, 10, 11, 12]
    assert column(data, "next", "observation") == [2, 3, 11, 12, 13]
    assert column(data, "next", "terminated") == [False, True, False, False, False]
    assert column(data, "next", "truncated") == [False, False, False, False, True]
    assert column(data, "episode") == [0, 0, 1, 1, 1]
    assert data.sample()["observation"].shape == (2, 64, 64, 3)


def test_episodes_without_a_last_observation(tmp_path):
    content = tar(packed(episode(1, 2, extra=0)), packed(episode(10, 3, last=False, extra=0)))
    data = GenDGRLExperienceReplay(NAME, root=put(tmp_path, content))
    assert column(data, "observation") == [1, 2, 10, 11]
    assert column(data, "next", "observation") == [2, 0, 11, 12]
    assert column(data, "next", "truncated") == [False, False, False, True]


def test_the_tar_is_downloaded(tmp_path, server, monkeypatch):
    server.files["/1M_E/maze.tar.xz"] = tar(packed(episode(1, 2)))
    monkeypatch.setattr(GenDGRLExperienceReplay, "base_url", server.url)
    assert len(GenDGRLExperienceReplay(NAME, root=tmp_path)) == 2


def test_an_unknown_dataset_suggests_the_nearest(tmp_path):
    with pytest.raises(NotRegisteredError, match="Did you mean `maze-1M_E`"):
        GenDGRLExperienceReplay("maze-1M-E", root=tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x", "is no tar or is damaged"),
        (tar(packed(episode(1, 2)), mode="w")[:9000], "is damaged"),
        (tar(packed(episode(1, 2)))[:100] + b"?" * 100, "is damaged"),
        (tar(b"x" * 200), "no numpy file with an episode"),
        (tar(packed(np.zeros(3))), "no numpy file with an episode"),
        (tar(packed({"observations": np.zeros(3)})), "lacks `actions`"),
        (tar(packed({"observations": len})), r"the name `builtins.len`"),
    ],
)
def test_other_files_are_named(content, said, tmp_path):
    with pytest.raises(DatasetError, match=said):
        GenDGRLExperienceReplay(NAME, root=put(tmp_path, content))
