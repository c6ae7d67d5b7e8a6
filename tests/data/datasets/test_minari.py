import json
import warnings

import numpy as np
import pytest
import torch

from rl.data import DatasetError, DatasetNotFoundError, MinariExperienceReplay
from rl.data.datasets.hosts import Bucket

minari = pytest.importorskip("minari")
gym = pytest.importorskip("gymnasium")
h5py = pytest.importorskip("h5py")
pytest.importorskip("pyarrow")
spaces = gym.spaces

FORMATS = pytest.mark.parametrize("kind", ["hdf5", "arrow"])


class Count(gym.Env):
    """Counts its steps; ends by itself after three of them, or is cut after `limit`."""

    def __init__(self, limit=9, discrete=True):
        self.observation_space = spaces.Dict(
            {
                "position": spaces.Box(-9, 9, (2, 2), np.float32),
                "number": spaces.Discrete(9),
                "word": spaces.Text(8),
                "pair": spaces.Tuple((spaces.Discrete(9), spaces.Box(0, 9, (1,), np.float32))),
            }
        )
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (2,), np.float32)
        self.limit = limit

    def _observation(self):
        t = self.t
        return {
            "position": np.full((2, 2), t, np.float32),
            "number": t,
            "word": "even" if t % 2 == 0 else "odd",
            "pair": (t, np.full(1, t, np.float32)),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {"speed": np.zeros(1), "inner": {"x": np.zeros(1)}}

    def step(self, action):
        self.t += 1
        info = {"speed": np.full(1, self.t), "inner": {"x": np.full(1, self.t)}}
        return self._observation(), self.t / 2, self.t == 3, self.t == self.limit, info


def stacked(items):
    first = items[0]
    if isinstance(first, dict):
        return {key: stacked([item[key] for item in items]) for key in first}
    if isinstance(first, tuple):
        return tuple(stacked([item[i] for item in items]) for i in range(len(first)))
    return list(items) if isinstance(first, str) else np.stack(items)


def episode(env, number):
    observation, info = env.reset(seed=number)
    observations, infos, actions, results = [observation], [info], [], []
    while not results or not any(results[-1][1:]):
        actions.append(env.action_space.sample())
        observation, *result, info = env.step(actions[-1])
        observations.append(observation)
        infos.append(info)
        results.append(result)
    rewards, terminations, truncations = map(list, zip(*results, strict=True))
    return minari.data_collector.EpisodeBuffer(
        id=number,
        seed=number,
        observations=stacked(observations),
        actions=np.stack(actions),
        rewards=rewards,
        terminations=terminations,
        truncations=truncations,
        infos=stacked(infos),
    )


def create(**options):
    with warnings.catch_warnings():
        # it asks for an author, an e-mail address and so on
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(**options)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes a dataset with Minari's own library, in a folder of its own."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))

    def made(name, kind, episodes=12, **options):
        envs = [Count(limit=9 if i % 3 == 1 else 2, **options) for i in range(episodes)]
        create(
            dataset_id=name,
            buffer=[episode(env, i) for i, env in enumerate(envs)],
            observation_space=envs[0].observation_space,
            action_space=envs[0].action_space,
            algorithm_name="random",
            data_format=kind,
        )
        return tmp_path / "minari" / name / "data"

    return made


def local(name, tmp_path, **options):
    options = {"load_from_local_minari": True, "root": tmp_path / "root", **options}
    return MinariExperienceReplay(name, 4, **options)


@FORMATS
def test_episodes_of_the_real_library(kind, make, tmp_path):
    make("ns/count-v0", kind)
    data = local("ns/count-v0", tmp_path)
    rows = data[:]
    lengths = [2, 3, 2] * 4
    steps = [t for length in lengths for t in range(length)]
    assert rows["observation", "number"].tolist() == steps
    assert rows["next", "observation", "number"].tolist() == [t + 1 for t in steps]
    assert rows["episode"].tolist() == [i for i, n in enumerate(lengths) for _ in range(n)]
    assert rows["next", "reward"].squeeze(-1).tolist() == [(t + 1) / 2 for t in steps]
    ends = [t + 1 == n for n in lengths for t in range(n)]
    assert rows["next", "done"].squeeze(-1).tolist() == ends
    assert rows["next", "terminated"].squeeze(-1).tolist() == [t == 2 for t in steps]
    truncated = rows["next", "truncated"] & ~rows["next", "terminated"]
    assert truncated.squeeze(-1).tolist() == [
        e and t == 1 for e, t in zip(ends, steps, strict=True)
    ]
    assert not rows["done"].any()


@FORMATS
def test_every_kind_of_space(kind, make, tmp_path):
    make("count-v0", kind, discrete=False)
    rows = local("count-v0", tmp_path)[:]
    assert rows["observation", "position"].shape == (len(rows), 2, 2)
    assert (rows["observation", "position"][:, 0, 0] == rows["observation", "number"]).all()
    assert (rows["observation", "pair", "0"] == rows["observation", "number"]).all()
    assert (rows["observation", "pair", "1"][:, 0] == rows["observation", "number"]).all()
    assert rows["observation"].get("word").tolist()[:3] == ["even", "odd", "even"]
    assert rows["action"].dtype == torch.float32
    assert rows["action"].shape == (len(rows), 2)
    assert (rows["next", "info", "speed"] - rows["info", "speed"] == 1).all()
    assert (rows["info", "inner", "x"].squeeze(-1) == rows["observation", "number"]).all()


def test_discrete_actions_and_batches(make, tmp_path):
    make("count-v0", "hdf5")
    data = local("count-v0", tmp_path)
    batch = data.sample()
    assert batch["action"].dtype == torch.int64
    assert batch["observation"].get("word").batch_size == (4,)
    assert batch["next", "reward"].shape == (4, 1)
    assert data.metadata["algorithm_name"] == "random"
    assert data.metadata["action_space"]["n"] == 3


def test_both_formats_give_the_same_rows(make, tmp_path):
    found = []
    for kind in ("hdf5", "arrow"):
        make(f"{kind}-v0", kind)
        found.append(local(f"{kind}-v0", tmp_path)[:].exclude("action"))
    assert (found[0] == found[1]).all()


def test_split_trajectories_keep_texts(make, tmp_path):
    make("count-v0", "hdf5", episodes=2)
    rows = local("count-v0", tmp_path, split_trajs=True)[:]
    assert rows.shape == (2, 3)
    assert rows["mask"].tolist() == [[True, True, False], [True] * 3]
    assert rows["observation"].get("word").tolist()[1] == ["even", "odd", "even"]


@FORMATS
def test_jpeg_images_are_decoded(kind, make, tmp_path):
    pytest.importorskip("PIL")
    space = spaces.Dict({"image": spaces.Box(0, 255, (64, 48, 3), np.uint8)})
    image = np.full((3, 64, 48, 3), [10, 120, 240], np.uint8)
    image[1] = 0
    create(
        dataset_id="image-v0",
        buffer=[
            minari.data_collector.EpisodeBuffer(
                id=0,
                observations={"image": image},
                actions=np.zeros((2, 2), np.float32),
                rewards=[0.0, 1.0],
                terminations=[False, False],
                truncations=[False, True],
                infos={},
            )
        ],
        observation_space=space,
        action_space=spaces.Box(-1, 1, (2,), np.float32),
        data_format=kind,
    )
    rows = local("image-v0", tmp_path)[:]
    assert rows["observation", "image"].shape == (2, 64, 48, 3)
    assert rows["observation", "image"].dtype == torch.uint8
    error = rows["observation", "image"][0].int() - torch.tensor([10, 120, 240])
    assert error.abs().max() <= 3
    assert rows["next", "observation", "image"][0].max() <= 3


def test_a_changed_local_dataset_is_converted_anew(make, tmp_path):
    make("count-v0", "hdf5", episodes=2)
    assert len(local("count-v0", tmp_path)) == 5
    minari.delete_dataset("count-v0")
    make("count-v0", "hdf5", episodes=3)
    assert len(local("count-v0", tmp_path)) == 7


def test_a_local_dataset_that_is_not_there(make, tmp_path):
    make("count-v0", "hdf5", episodes=1)
    with pytest.raises(FileNotFoundError, match="minari list local"):
        local("other-v0", tmp_path)


@pytest.fixture
def remote(make, server, monkeypatch):
    """A server that holds a dataset as Minari's bucket does."""
    data = make("D4RL/count-v0", "hdf5", episodes=3)
    items = []
    for path in data.iterdir():
        name = f"D4RL/count-v0/data/{path.name}"
        server.files[f"/minari-remote/{name}"] = path.read_bytes()
        items.append({"name": name, "size": str(path.stat().st_size)})
    fields = "fields=nextPageToken%2Citems%28name%2Csize%2Cmd5Hash%29"
    base = "/storage/v1/b/minari-remote/o?prefix="
    server.answers[f"{base}D4RL%2Fcount-v0%2Fdata%2F&{fields}"] = json.dumps(
        {"items": items}
    ).encode()
    server.answers[f"{base}D4RL%2Fnone-v0%2Fdata%2F&{fields}"] = b"{}"
    listed = [item for item in items if item["name"].endswith("metadata.json")]
    glob = "matchGlob=%2A%2A%2Fdata%2Fmetadata.json"
    server.answers[f"{base}&{fields}&{glob}"] = json.dumps({"items": listed}).encode()
    monkeypatch.setattr(MinariExperienceReplay, "bucket", Bucket("minari-remote", server.url))
    return server


def test_a_dataset_is_downloaded_once(remote, tmp_path):
    assert MinariExperienceReplay.available_datasets == ["D4RL/count-v0"]
    data = local("D4RL/count-v0", tmp_path, load_from_local_minari=False)
    assert len(data) == 7
    asked = len(remote.requests)
    local("D4RL/count-v0", tmp_path, load_from_local_minari=False, download=False)
    assert len(remote.requests) == asked


def test_a_dataset_that_the_server_lacks(remote, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="available_datasets"):
        local("D4RL/none-v0", tmp_path, load_from_local_minari=False)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: (d / "main_data.hdf5").write_bytes(b"x"), r"main_data.hdf5` is damaged"),
        (lambda d: (d / "metadata.json").write_text("{"), r"metadata.json` cannot be read"),
        (lambda d: (d / "metadata.json").unlink(), "lacks `metadata.json`"),
        (lambda d: (d / "metadata.json").write_text('{"data_format": "x"}'), "data format `x`"),
    ],
)
def test_a_damaged_file_is_named(damage, said, make, tmp_path):
    damage(make("count-v0", "hdf5", episodes=1))
    with pytest.raises(DatasetError, match=said):
        local("count-v0", tmp_path)


def test_an_episode_without_rewards_is_named(make, tmp_path):
    data = make("count-v0", "hdf5", episodes=1)
    with h5py.File(data / "main_data.hdf5", "a") as file:
        del file["episode_0/rewards"]
    with pytest.raises(DatasetError, match="`episode_0` lacks `rewards`"):
        local("count-v0", tmp_path)
