import gzip
import io
import json

import numpy as np
import pytest
import torch

from rl.core import NotRegisteredError
from rl.data import AtariDQNExperienceReplay, DatasetError, SliceSampler
from rl.data.datasets.hosts import Bucket

# two episodes, three rows of padding before each; the ring begins at row 4
FRAMES = np.array([0, 0, 0, 1, 2, 3, 0, 0, 0, 4, 5], np.uint8)
TERMINAL = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], np.uint8)


def checkpoint(frames=FRAMES, terminal=TERMINAL, shift=4):
    frames, terminal = np.roll(frames, shift), np.roll(terminal, shift)
    return {
        "observation": np.broadcast_to(frames[:, None, None], (len(frames), 84, 84)).copy(),
        "action": frames.astype(np.int32),
        "reward": frames.astype(np.float32) / 2,
        "terminal": terminal,
        "add_count": np.array(len(frames) * 3 + shift),
    }


def zipped(array):
    return gzip.compress(npy(array))


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def put(root, *checkpoints, name="Pong/5"):
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for number, arrays in enumerate(checkpoints):
        for key, array in arrays.items():
            prefix = "" if key == "add_count" else "$store$_"
            (raw / f"{prefix}{key}_ckpt.{number}.gz").write_bytes(zipped(array))
    return root


def column(data, *key):
    return data[:][key].reshape(len(data), -1)[:, 0].tolist()


def test_steps_are_in_order_without_padding(tmp_path):
    data = AtariDQNExperienceReplay("Pong/5", 2, root=put(tmp_path, checkpoint()))
    assert column(data, "observation") == [1, 2, 3, 4]
    assert column(data, "next", "observation") == [2, 3, 0, 5]
    assert column(data, "action") == [1, 2, 3, 4]
    assert column(data, "next", "reward") == [0.5, 1, 1.5, 2]
    assert column(data, "next", "terminated") == [False, False, True, False]
    assert column(data, "next", "truncated") == [False, False, False, True]
    assert column(data, "episode") == [0, 0, 0, 1]
    batch = data.sample()
    assert batch["observation"].shape == (2, 84, 84)
    assert batch["action"].dtype == torch.int32
    assert batch["next", "reward"].shape == (2, 1)


def test_checkpoints_follow_each_other(tmp_path):
    root = put(tmp_path, checkpoint(), checkpoint(shift=0), checkpoint())
    data = AtariDQNExperienceReplay("Pong/5", root=root, num_checkpoints=2)
    assert column(data, "observation") == [1, 2, 3, 4] * 2
    assert column(data, "episode") == [0, 0, 0, 1, 2, 2, 2, 3]
    more = AtariDQNExperienceReplay("Pong/5", root=root, num_procs=2, mp_start_method="spawn")
    assert column(more, "episode")[-1] == 5
    assert len(more) == 12


def test_black_frames_inside_an_episode_stay(tmp_path):
    frames, terminal = np.array([1, 0, 0, 2, 3], np.uint8), np.zeros(5, np.uint8)
    root = put(tmp_path, checkpoint(frames, terminal, 0))
    data = AtariDQNExperienceReplay("Pong/5", root=root)
    assert column(data, "observation") == [1, 0, 0, 2]


def test_chunks_make_no_difference(tmp_path, monkeypatch):
    whole = AtariDQNExperienceReplay("Pong/5", root=put(tmp_path / "a", checkpoint()))
    monkeypatch.setattr("rl.data.datasets.atari_dqn._CHUNK", 1)
    parts = AtariDQNExperienceReplay("Pong/5", root=put(tmp_path / "b", checkpoint()))
    assert (whole[:] == parts[:]).all()


def test_slices(tmp_path):
    root = put(tmp_path, checkpoint())
    data = AtariDQNExperienceReplay("Pong/5", 4, root=root, slice_len=2)
    assert isinstance(data.sampler, SliceSampler)
    frames = data.sample()["observation"][:, 0, 0].reshape(2, 2).int()
    assert (frames[:, 1] - frames[:, 0] == 1).all()
    with pytest.raises(ValueError, match="pass one of the two"):
        AtariDQNExperienceReplay("Pong/5", root=root, slice_len=2, num_slices=2)


def test_files_are_downloaded_and_verified(tmp_path, server, monkeypatch):
    put(tmp_path / "there", checkpoint(), checkpoint())
    items = []
    for path in (tmp_path / "there" / "Pong" / "5" / "raw").iterdir():
        name = f"dqn/Pong/5/replay_logs/{path.name}"
        server.files[f"/games/{name.replace('$', '%24')}"] = path.read_bytes()
        items.append({"name": name, "size": str(path.stat().st_size)})
    fields = "fields=nextPageToken%2Citems%28name%2Csize%2Cmd5Hash%29"
    listing = f"/storage/v1/b/games/o?prefix=dqn%2FPong%2F5%2Freplay_logs%2F&{fields}"
    server.answers[listing] = json.dumps({"items": items}).encode()
    monkeypatch.setattr(AtariDQNExperienceReplay, "bucket", Bucket("games", server.url))
    data = AtariDQNExperienceReplay("Pong/5", root=tmp_path / "here", num_checkpoints=1)
    assert len(data) == 4
    assert len(server.requests) == 1 + 5


def test_an_unknown_run_suggests_the_nearest(tmp_path):
    with pytest.raises(NotRegisteredError, match=r"Did you mean `Pong/\d`"):
        AtariDQNExperienceReplay("Pong/7", root=tmp_path)
    with pytest.raises(ValueError, match="expected 1 to 50"):
        AtariDQNExperienceReplay("Pong/5", root=tmp_path, num_checkpoints=0)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("action", b"x", "is no gzipped numpy file"),
        ("action", zipped(np.zeros(11, np.int32))[:-9], "is damaged"),
        ("action", zipped(np.zeros(11, np.int32))[:-8] + bytes(8), "is damaged"),
        ("action", zipped(np.zeros(3, np.int32)), "differ in length"),
        ("action", gzip.compress(b"\x80\x04."), "is no gzipped numpy file"),
        ("observation", zipped(np.zeros((11, 84, 84), np.uint8))[:-9], "is damaged"),
        ("observation", zipped(np.zeros(11, np.uint8))[:40] + b"?" * 40, "is damaged"),
        ("observation", zipped(np.zeros((3, 84, 84), np.uint8)), "differ in length"),
        ("action", None, "no neighbour with `action`"),
    ],
)
def test_damaged_files_are_named(name, content, said, tmp_path):
    root = put(tmp_path, checkpoint())
    path = root / "Pong" / "5" / "raw" / f"$store$_{name}_ckpt.0.gz"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        AtariDQNExperienceReplay("Pong/5", root=root)
    assert [path.name for path in (root / "Pong" / "5").iterdir()] == ["raw"]
