import io
import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from rl.core import MissingKeyError, ShapeError, SpecError
from rl.data import DatasetError, LeRobotExperienceReplay, lerobot_columns_to_tensordict

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
av = pytest.importorskip("av")

FPS = 10
LENGTHS = (4, 3, 5)
CAMERA = "observation.images.top"
REPO = "me/robot"


def video(path, values):
    """A video of grey frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for value in values:
            pixels = np.full((48, 64, 3), value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def grey(episode, frame):
    return 20 + 60 * episode + 10 * frame


def columns(episode, begin):
    n = LENGTHS[episode]
    t = np.arange(n, dtype=np.float32)
    state = np.repeat(t[:, None] + 10 * episode, 3, 1)
    return {
        "observation.state": pa.FixedSizeListArray.from_arrays(pa.array(state.ravel()), 3),
        "action": pa.array((state[:, :2] / 2).tolist(), pa.list_(pa.float32())),
        "timestamp": pa.array(t / FPS, pa.float32()),
        "frame_index": pa.array(range(n)),
        "episode_index": pa.array([episode] * n),
        "index": pa.array(range(begin, begin + n)),
        "task_index": pa.array([episode % 2] * n),
        "next.reward": pa.array(t, pa.float32()),
    }


def info(version):
    def told(dtype, *shape):
        return {"dtype": dtype, "shape": list(shape), "names": None}

    names = ("frame_index", "episode_index", "index", "task_index")
    found = {
        "codebase_version": version,
        "fps": FPS,
        "chunks_size": 2,
        "features": {
            "observation.state": told("float32", 3),
            "action": told("float32", 2),
            CAMERA: told("video", 48, 64, 3),
            "timestamp": told("float32", 1),
            "next.reward": told("float32", 1),
            **{name: told("int64", 1) for name in names},
        },
    }
    if version.startswith("v3"):
        found["video_path"] = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    else:
        found["video_path"] = (
            "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
        )
    return found


def write(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)


def version_3(folder):
    """Two episodes in the first data file and video, one in the second."""
    tables = [pa.table(columns(i, sum(LENGTHS[:i]))) for i in range(3)]
    write(folder / "data/chunk-000/file-000.parquet", pa.concat_tables(tables[:2]))
    write(folder / "data/chunk-000/file-001.parquet", tables[2])
    frames = [[grey(i, t) for t in range(n)] for i, n in enumerate(LENGTHS)]
    base = folder / "videos" / CAMERA / "chunk-000"
    video(base / "file-000.mp4", frames[0] + frames[1])
    video(base / "file-001.mp4", frames[2])
    write(
        folder / "meta/episodes/chunk-000/file-000.parquet",
        {
            "episode_index": [0, 1, 2],
            "length": list(LENGTHS),
            f"videos/{CAMERA}/chunk_index": [0, 0, 0],
            f"videos/{CAMERA}/file_index": [0, 0, 1],
            f"videos/{CAMERA}/from_timestamp": [0.0, LENGTHS[0] / FPS, 0.0],
        },
    )
    tasks = {"task_index": [0, 1], "__index_level_0__": ["pick", "place"]}
    write(folder / "meta/tasks.parquet", tasks)
    (folder / "meta/info.json").write_text(json.dumps(info("v3.0")))


def version_2(folder):
    for i, n in enumerate(LENGTHS):
        chunk = f"chunk-{i // 2:03d}"
        name = f"episode_{i:06d}"
        write(folder / "data" / chunk / f"{name}.parquet", columns(i, sum(LENGTHS[:i])))
        video(folder / "videos" / chunk / CAMERA / f"{name}.mp4", [grey(i, t) for t in range(n)])
    (folder / "meta").mkdir()
    lines = [{"task_index": i, "task": name} for i, name in enumerate(("pick", "place"))]
    (folder / "meta/tasks.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "meta/info.json").write_text(json.dumps(info("v2.1")))


@pytest.fixture(params=[version_3, version_2])
def any_root(request, tmp_path):
    request.param(tmp_path / REPO / "raw")
    return tmp_path


@pytest.fixture
def root(tmp_path):
    version_3(tmp_path / REPO / "raw")
    return tmp_path


PLACES = [(i, t) for i, n in enumerate(LENGTHS) for t in range(n)]


def test_files_of_both_versions(any_root):
    data = LeRobotExperienceReplay(REPO, root=any_root, batch_size=4)
    rows = data[:]
    assert rows["episode"].tolist() == [i for i, _ in PLACES]
    assert rows["frame"].tolist() == [t for _, t in PLACES]
    assert rows["observation", "state"][:, 0].tolist() == [10 * i + t for i, t in PLACES]
    assert rows["action"].shape == (12, 2)
    assert rows["action"].dtype == torch.float32
    assert rows["next", "reward"].shape == (12, 1)
    tasks = [("pick", "place")[i % 2] for i, _ in PLACES]
    assert rows.get("language_instruction").tolist() == tasks
    pictures = rows["observation", "image", "top"]
    assert pictures.shape == (12, 3, 48, 64)
    assert pictures.dtype == torch.uint8
    expected = torch.tensor([grey(*place) for place in PLACES])
    assert (pictures[:, 0, 20, 20].int() - expected).abs().max() < 5
    assert data.metadata["fps"] == FPS


def test_parts_make_no_difference(root, tmp_path, monkeypatch):
    whole = LeRobotExperienceReplay(REPO, root=root)[:]
    monkeypatch.setattr("rl.data.datasets.lerobot._FRAMES", 2)
    version_3(tmp_path / "other" / REPO / "raw")
    parts = LeRobotExperienceReplay(REPO, root=tmp_path / "other")[:]
    assert (whole.exclude("language_instruction") == parts.exclude("language_instruction")).all()


def test_references_in_place_of_pictures(root):
    rows = LeRobotExperienceReplay(REPO, root=root, decode_video=False)[:]
    assert ("observation", "image", "top") not in rows.keys(True)
    names = {path[-12:] for path in rows["video", "top"].get("path").tolist()}
    assert names == {"file-000.mp4", "file-001.mp4"}
    starts = [0, LENGTHS[0] / FPS, 0]
    times = [starts[i] + t / FPS for i, t in PLACES]
    assert rows["video", "top", "time_s"].tolist() == pytest.approx(times)


def test_what_followed_is_written_under_next(root):
    data = LeRobotExperienceReplay(REPO, root=root, batch_size=4, slice_len=2, rehydrate=True)
    rows = data[:]
    last = torch.tensor([t + 1 == LENGTHS[i] for i, t in PLACES])
    now, later = rows["observation", "state"], rows["next", "observation", "state"]
    assert (later - now)[~last].eq(1).all()
    assert later[last].isnan().all()
    assert (rows["next", "observation", "image", "top"][last] == 0).all()
    assert (rows["next", "truncated"].squeeze(-1) == last).all()
    batch = data.sample()
    known = ~batch["next", "observation", "state"][:, 0].isnan()
    step = batch["next", "observation", "state"] - batch["observation", "state"]
    assert step[known].eq(1).all()


def test_other_names(root):
    data = LeRobotExperienceReplay(
        REPO, root=root, decode_video=False, key_map={"action": ("vla_action", "chunk")}
    )
    assert data[:]["vla_action", "chunk"].shape == (12, 2)


def test_the_repository_is_downloaded(root, server, monkeypatch, tmp_path):
    listed = []
    for path in (p for p in (root / REPO / "raw").rglob("*") if p.is_file()):
        name = str(path.relative_to(root / REPO / "raw"))
        server.files[f"/datasets/{REPO}/resolve/main/{name}"] = path.read_bytes()
        listed.append({"type": "file", "path": name, "size": path.stat().st_size})
    listed.append({"type": "file", "path": "README.md", "size": 1})
    listing = f"/api/datasets/{REPO}/tree/main?recursive=true"
    server.answers[listing] = json.dumps(listed).encode()
    monkeypatch.setattr(LeRobotExperienceReplay, "endpoint", server.url)
    data = LeRobotExperienceReplay(REPO, root=tmp_path / "here", decode_video=False)
    assert len(data) == 12
    assert not any(".mp4" in path for path, _ in server.requests)
    assert len(LeRobotExperienceReplay(REPO, root=tmp_path / "here")) == 12


def test_pictures_in_parquet(tmp_path):
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / REPO / "raw"
    (folder / "meta").mkdir(parents=True)
    told = info("v3.0")
    del told["features"][CAMERA]
    told["features"]["observation.image"] = {"dtype": "image", "shape": [8, 6, 3]}
    (folder / "meta/info.json").write_text(json.dumps(told))
    file = io.BytesIO()
    image.fromarray(np.full((8, 6, 3), 7, np.uint8)).save(file, "PNG")
    pictures = [{"bytes": file.getvalue(), "path": "x.png"}] * LENGTHS[0]
    table = {**columns(0, 0), "observation.image": pa.array(pictures)}
    write(folder / "data/chunk-000/file-000.parquet", table)
    rows = LeRobotExperienceReplay(REPO, root=tmp_path)[:]
    assert rows["observation", "image"].shape == (4, 3, 8, 6)
    assert (rows["observation", "image"] == 7).all()
    assert "language_instruction" not in rows.keys()  # noqa: SIM118


def shorten(folder):
    video(folder / "videos" / CAMERA / "chunk-000" / "file-001.mp4", [0, 0])


def forget(folder):
    path = folder / "meta/episodes/chunk-000/file-000.parquet"
    write(path, pq.read_table(path).slice(0, 1))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "meta/info.json").unlink(), "lacks `meta/info.json`"),
        (lambda f: (f / "meta/info.json").write_text("{}"), "is no LeRobot metadata"),
        (lambda f: (f / "meta/info.json").write_text(json.dumps(info("v1.6"))), "reads v2 and v3"),
        (lambda f: (f / "data/chunk-000/file-001.parquet").write_bytes(b"x"), "is damaged"),
        (shorten, r"has no frame within 0.0500 s of 0.2000 s"),
        (lambda f: next(f.rglob("*.mp4")).write_bytes(b"x"), "cannot be decoded"),
        (forget, r"does not tell where episode 1"),
    ],
)
def test_other_files_are_named(damage, said, root):
    damage(root / REPO / "raw")
    with pytest.raises(DatasetError, match=said):
        LeRobotExperienceReplay(REPO, root=root)


def test_columns_take_their_places():
    table = {
        "observation.environment_state": torch.zeros(2, 3),
        "next.done": torch.tensor([False, True]),
        "task": ["a", "b"],
        "foo.bar": np.zeros(2),
    }
    rows = lerobot_columns_to_tensordict(table, key_map={"foo.bar": "foo"})
    assert rows["observation", "environment_state"].shape == (2, 3)
    assert rows["next", "done"].shape == (2, 1)
    assert rows["foo"].shape == (2,)
    assert rows.get("language_instruction").tolist() == ["a", "b"]


def test_columns_that_do_not_fit():
    with pytest.raises(SpecError, match="pass at least one"):
        lerobot_columns_to_tensordict({})
    with pytest.raises(ShapeError, match="`b` has 3 rows, `a` has 2"):
        lerobot_columns_to_tensordict({"a": torch.zeros(2), "b": torch.zeros(3)})
    with pytest.raises(SpecError, match="`task` and `language` have one entry"):
        lerobot_columns_to_tensordict({"task": ["a"], "language": ["b"]})
    with pytest.raises(MissingKeyError, match="the column `episode_index`"):
        LeRobotExperienceReplay.from_columns({"action": torch.zeros(2)}, rehydrate=True)
