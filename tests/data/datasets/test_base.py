import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.data import (
    BaseDatasetExperienceReplay,
    DatasetError,
    DatasetNotFoundError,
    ReplayBuffer,
    RoundRobinWriter,
    SamplerWithoutReplacement,
    SliceSampler,
)
from rl.data.datasets.columns import open_converted
from rl.data.datasets.download import RemoteFile
from rl.data.datasets.transitions import episode_rows
from rl.data.storages.tensor_storage import TensorStorage

LENGTHS = (2, 4, 3)


class Toy(BaseDatasetExperienceReplay):
    """Three episodes; counts its conversions."""

    source = "toy"
    url = "http://127.0.0.1:9"

    def __init__(self, name="toy", batch_size=4, *, root, download=True, split=False, **kwargs):
        self.conversions = 0
        rows = self._obtain(name, root, download, split)
        super().__init__(storage=TensorStorage(rows), batch_size=batch_size, **kwargs)

    def _remote_files(self):
        return [RemoteFile(f"{self.url}/lengths", "lengths")]

    def _convert(self, files, writer):
        self.conversions += 1
        writer.metadata = {"made": "by hand"}
        for i, n in enumerate(np.loadtxt(files[0], int, ndmin=1)):
            t = np.arange(n + 1, dtype=np.float32)[:, None] + 10 * i
            rows = episode_rows(
                states={"observation": t},
                action=np.zeros((n, 2)),
                reward=t[1:],
                terminated=np.arange(n) == n - 1,
                truncated=np.zeros(n),
                episode=i,
                extra={"word": [f"w{int(v)}" for v in t[:-1, 0]]},
            )
            writer.append(rows)


@pytest.fixture
def root(tmp_path):
    raw = tmp_path / "toy" / "raw"
    raw.mkdir(parents=True)
    (raw / "lengths").write_text("\n".join(map(str, LENGTHS)))
    return tmp_path


def test_rows_are_converted_once(root):
    first, second = Toy(root=root), Toy(root=root, download=False)
    assert (first.conversions, second.conversions) == (1, 0)
    assert len(first) == len(second) == 9
    assert second.metadata == {"made": "by hand"}
    assert second.data_path == root / "toy"
    assert second.data_path_root == root


@pytest.mark.skipif(sys.platform != "linux", reason="reads the map of the process's memory")
def test_loading_copies_nothing(root):
    data = Toy(root=root)
    place = data.storage[:]["observation"].data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, stop = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= place < stop:
            assert line.endswith("-observation.memmap")
            return
    pytest.fail("the rows are in no mapping")


def test_force_converts_anew(root):
    Toy(root=root)
    assert Toy(root=root, download="force").conversions == 1


def test_changed_local_files_are_converted_anew(root):
    Toy(root=root)
    time.sleep(0.01)
    (root / "toy" / "raw" / "lengths").write_text("5")
    data = Toy(root=root, split=True)
    assert data.conversions == 1
    assert data[:].shape == (1, 5)


def damage(root):
    path = next((root / "toy" / "rows").glob("*-observation.memmap"))
    path.write_bytes(path.read_bytes()[:-4])


def test_a_damaged_conversion_is_made_anew(root):
    Toy(root=root)
    damage(root)
    with pytest.warns(UserWarning, match=r"observation.memmap` has 32 bytes, .* This is done now"):
        data = Toy(root=root)
    assert data.conversions == 1
    assert len(data) == 9


def test_a_damaged_conversion_raises_without_download(root):
    Toy(root=root)
    damage(root)
    with pytest.raises(DatasetError, match="`download='force'`"):
        Toy(root=root, download=False)


def test_a_failed_conversion_leaves_nothing(root):
    (root / "toy" / "raw" / "lengths").write_text("x")
    with pytest.raises(ValueError, match="x"):
        Toy(root=root)
    assert [path.name for path in (root / "toy").iterdir()] == ["raw"]


def test_what_is_not_there_raises_without_download(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"Pass `download=True`, or put .*raw"):
        Toy(root=tmp_path, download=False)


def test_downloads_are_removed_after_the_conversion(tmp_path, server, monkeypatch):
    server.files["/lengths"] = b"3\n4"
    monkeypatch.setattr(Toy, "url", server.url)
    data = Toy(root=tmp_path)
    assert len(data) == 7
    assert [path.name for path in data.data_path.iterdir()] == ["rows"]


@pytest.mark.parametrize(
    ("options", "said"),
    [({"download": "yes"}, "expected True, False or 'force'"), ({"name": "../x"}, "leads out of")],
)
def test_bad_arguments(options, said, root):
    with pytest.raises(ValueError, match=said):
        Toy(root=root, **options)


def test_samples_hold_texts_and_numbers(root):
    torch.manual_seed(0)
    for batch in (Toy(root=root).sample(), Toy(root=root, prefetch=2).sample()):
        words = [f"w{int(v)}" for v in batch["observation"][:, 0]]
        assert batch.get("word").tolist() == words
        assert (batch["next", "observation"] - batch["observation"] == 1).all()
    data = Toy(root=root)
    assert data[3]["word"] == "w11"
    assert data[2:4].get("word").tolist() == ["w10", "w11"]


def test_a_pass_covers_every_row(root):
    data = Toy(root=root, sampler=SamplerWithoutReplacement(drop_last=True))
    batches = list(data)
    assert [len(batch) for batch in batches] == [4, 4]
    assert len(set(torch.cat([batch["index"] for batch in batches]).tolist())) == 8


def test_slices(root):
    data = Toy(root=root, batch_size=6, sampler=SliceSampler(slice_len=2, traj_key="episode"))
    batch = data.sample()
    observation = batch["observation"].reshape(3, 2)
    assert (observation[:, 1] - observation[:, 0] == 1).all()


def test_split_trajectories(root):
    data = Toy(root=root, split=True, batch_size=2)
    assert len(data) == 3
    rows = data[:]
    assert rows.shape == (3, 4)
    assert rows["mask"].sum(-1).tolist() == list(LENGTHS)
    assert rows["next", "observation"][..., 0].tolist() == [
        [1, 2, 0, 0],
        [11, 12, 13, 14],
        [21, 22, 23, 0],
    ]
    batch = data.sample()
    assert batch.shape == batch["next"].shape == (2, 4)
    assert (batch["index"] == batch["index"][:, :1]).all()
    assert data[1].shape == (4,)


def test_it_is_read_only(root):
    data = Toy(root=root)
    row = data.storage[:1].clone()
    for write in (
        lambda: data.add(row[0]),
        lambda: data.extend(row),
        lambda: data.__setitem__(slice(1), row),
        lambda: data.set_("action", torch.ones(9, 2)),
        lambda: data.update_(data.storage[:]),
        data.empty,
    ):
        with pytest.raises(RuntimeError, match="is a dataset and is not written"):
            write()
    assert len(data) == 9


def test_another_writer_writes_to_memory_only(root):
    data = Toy(root=root, writer=RoundRobinWriter())
    data.set_("action", torch.ones(9, 2, dtype=torch.float64))
    assert data[:]["action"].sum() == 18
    assert open_converted(root / "toy" / "rows").rows["action"].sum() == 0


def test_another_process_maps_the_files_itself(root):
    data = Toy(root=root, sampler=SamplerWithoutReplacement(shuffle=False))
    data.sample()
    sent = pickle.dumps(data)
    there = pickle.loads(sent)
    assert there.sample()["index"].tolist() == [4, 5, 6, 7]
    assert there[:].get("word").tolist() == data[:].get("word").tolist()
    damage(root)
    with pytest.raises(DatasetError, match="the conversion is damaged"):
        pickle.loads(sent)


def test_changed_rows_are_sent(root):
    data = Toy(root=root, writer=RoundRobinWriter())
    data.set_("action", torch.ones(9, 2, dtype=torch.float64))
    assert pickle.loads(pickle.dumps(data))[:]["action"].sum() == 18


def test_delete_removes_the_folder(root):
    data = Toy(root=root)
    data.verify()
    data.delete()
    assert list(root.iterdir()) == []
    assert len(data.sample()) == 4


def halved(rows):
    return TensorDict({"half": rows["observation"] / 2, "episode": rows["episode"]}, rows.shape)


@pytest.mark.parametrize(
    "options",
    [{}, {"chunksize": 2}, {"num_chunks": 4}, {"num_workers": 2, "mp_start_method": "spawn"}],
)
def test_preprocess_writes_a_new_dataset(options, root, tmp_path):
    data = Toy(root=root)
    storage = data.preprocess(halved, dest=tmp_path / "half", **options)
    assert storage[:]["half"].flatten().tolist() == (data[:]["observation"] / 2).flatten().tolist()
    assert len(ReplayBuffer(storage=storage, batch_size=3).sample()) == 3


def test_preprocess_takes_the_first_rows(root, tmp_path):
    assert len(Toy(root=root).preprocess(halved, dest=tmp_path / "x", num_frames=5)) == 5


def test_preprocess_refuses(root, tmp_path):
    data = Toy(root=root)
    with pytest.raises(ValueError, match="leave it out"):
        data.preprocess(halved, 1, dest=tmp_path / "x")
    with pytest.raises(ValueError, match="not both"):
        data.preprocess(halved, chunksize=1, num_chunks=1, dest=tmp_path / "x")
    parts = iter([halved, lambda rows: rows.select("action")])
    with pytest.raises(DatasetError, match="is not in every episode"):
        data.preprocess(lambda rows: next(parts)(rows), chunksize=5, dest=tmp_path / "x")
    assert not (tmp_path / "x").exists()
