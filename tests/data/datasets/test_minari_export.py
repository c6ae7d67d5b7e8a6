import numpy as np
import pytest
import torch
from tensordict import TensorDict

from rl.core import Bounded, Categorical, Composite, MissingKeyError, OneHot, ShapeError
from rl.data import DatasetError, MinariExperienceReplay, to_minari

minari = pytest.importorskip("minari")
gym = pytest.importorskip("gymnasium")
pytest.importorskip("h5py")


def run(lengths, ended, nested=False):
    """Trajectories one after the other; `ended` says how each of them ends."""
    rows = []
    for i, (length, how) in enumerate(zip(lengths, ended, strict=True)):
        t = torch.arange(length + 1, dtype=torch.float32)[:, None] + 10 * i
        see = TensorDict({"a": t, "b": -t}, [length + 1]) if nested else t
        flags = {
            name: torch.zeros(length, 1, dtype=torch.bool)
            for name in ("done", "terminated", "truncated")
        }
        if how is not None:
            flags[how][-1] = flags["done"][-1] = True
        rows.append(
            TensorDict(
                {
                    "observation": see[:-1],
                    "action": torch.eye(3, dtype=torch.int64)[torch.arange(length) % 3],
                    "collector": {"traj_ids": torch.full((length,), i)},
                    "next": {"observation": see[1:], "reward": t[1:] / 2, **flags},
                },
                [length],
            )
        )
    return torch.cat(rows)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


@pytest.mark.parametrize("kind", ["hdf5", "arrow"])
def test_the_real_library_reads_the_export(kind, folder):
    pytest.importorskip("pyarrow")
    data = run([3, 2, 2], ["terminated", "truncated", None])
    path = to_minari(data, "me/run-v0", action_spec=OneHot(3), data_format=kind)
    assert path == folder / "minari" / "me" / "run-v0"
    dataset = minari.load_dataset("me/run-v0")
    assert dataset.total_episodes == 3
    assert dataset.action_space == gym.spaces.Discrete(3)
    first, second, third = dataset.iterate_episodes()
    assert first.observations[:, 0].tolist() == [0, 1, 2, 3]
    assert first.actions.tolist() == [0, 1, 2]
    assert first.rewards.tolist() == [0.5, 1, 1.5]
    assert first.terminations.tolist() == [False, False, True]
    assert second.truncations.tolist() == third.truncations.tolist() == [False, True]
    assert not first.truncations.any()
    assert not third.terminations.any()


def test_a_round_trip_gives_the_same_transitions(folder):
    data = run([3, 2], ["terminated", "truncated"], nested=True)
    to_minari(data, "run-v0")
    back = MinariExperienceReplay("run-v0", 2, root=folder / "root", load_from_local_minari=True)[:]
    for key in ("observation", ("next", "observation"), "action"):
        assert (back[key] == data[key]).all()
    for name in ("done", "terminated", "truncated"):
        assert (back["next", name] == data["next", name]).all()
    assert torch.allclose(back["next", "reward"].float(), data["next", "reward"])
    assert (back["episode"] == data["collector", "traj_ids"]).all()


def test_a_batch_of_rows_is_exported_row_by_row(folder):
    one, two = run([2, 2], ["terminated", None]), run([4], [None])
    to_minari(torch.stack([one, two]), "run-v0")
    lengths = [len(e.rewards) for e in minari.load_dataset("run-v0").iterate_episodes()]
    assert lengths == [2, 2, 4]


def test_spaces_follow_the_specs(folder):
    data = run([2], ["terminated"], nested=True)
    spec = Composite(a=Bounded(-5, 20, (1,)), b=Bounded(-20, 5, (1,)))
    to_minari(data, "run-v0", observation_spec=spec)
    space = minari.load_dataset("run-v0").observation_space
    assert space["a"].low.tolist() == [-5]
    assert space["b"].high.tolist() == [5]


def test_categorical_actions_and_metadata(folder):
    data = run([3], ["terminated"])
    data["action"] = data["action"].argmax(-1)
    to_minari(data, "run-v0", action_spec=Categorical(3), algorithm_name="PPO", author="me")
    dataset = minari.load_dataset("run-v0")
    assert dataset.action_space == gym.spaces.Discrete(3)
    assert dataset.storage.metadata["algorithm_name"] == "PPO"


def test_images_are_not_compressed(folder):
    data = run([2], ["terminated"])
    noise = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    data["observation"], data["next", "observation"] = noise[:2], noise[1:]
    to_minari(data, "run-v0")
    (episode,) = minari.load_dataset("run-v0").iterate_episodes()
    assert np.array_equal(episode.observations, noise.numpy())


def test_another_root_leaves_the_environment_as_it_was(folder, monkeypatch):
    for before in (str(folder / "minari"), None):
        if before is None:
            monkeypatch.delenv("MINARI_DATASETS_PATH")
        to_minari(run([2], [None]), f"run{before is None}-v0", root=folder / "other")
        assert (folder / "other" / f"run{before is None}-v0" / "data").is_dir()
        assert not (folder / "minari").exists()


def test_an_existing_dataset_is_not_overwritten(folder):
    to_minari(run([2], [None]), "run-v0")
    with pytest.raises(DatasetError, match="minari delete run-v0"):
        to_minari(run([2], [None]), "run-v0")


def test_other_data_raise(folder):
    with pytest.raises(MissingKeyError, match="`observation_key`"):
        to_minari(run([2], [None]).exclude("action"), "run-v0")
    with pytest.raises(ShapeError, match=r"expected \[T\] or \[B, T\]"):
        to_minari(run([4], [None]).reshape(2, 2, 1), "run-v0")
