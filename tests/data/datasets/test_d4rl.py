import operator
import sys
import types
from functools import reduce
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core import MissingDependencyError, NotRegisteredError
from rl.data import D4RLExperienceReplay, DatasetError, SamplerWithoutReplacement
from rl.data.datasets.d4rl import _Rules, _write

h5py = pytest.importorskip("h5py")

NAME = "maze2d-open-v0"
FILE = "maze2d-open-sparse.hdf5"
# three episodes: cut after 3 steps, terminated after 2, and 2 steps that the recording ends
TERMINALS = np.array([0, 0, 0, 0, 1, 0, 0])
TIMEOUTS = np.array([0, 0, 1, 0, 0, 0, 0])


def arrays(**more):
    n = len(TERMINALS)
    return {
        "observations": np.arange(1, n + 1, dtype=np.float32)[:, None].repeat(4, 1),
        "actions": np.arange(n, dtype=np.float32)[:, None].repeat(2, 1),
        "rewards": np.arange(n, dtype=np.float32) / 2,
        "terminals": TERMINALS.astype(bool),
        "timeouts": TIMEOUTS.astype(bool),
        "infos/goal": np.arange(n * 2, dtype=np.float64).reshape(n, 2),
        "metadata/algorithm/name": np.bytes_("SAC"),
        "metadata/seed": np.array(3),
        **more,
    }


def put(root, name=NAME, file=FILE, **more):
    raw = root / name / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    with h5py.File(raw / file, "w") as out:
        for key, value in arrays(**more).items():
            if value is not None:
                out[key] = value
    return root


def column(data, *key):
    return data[:][key].reshape(len(data), -1)[:, 0].tolist()


def test_steps_of_cut_episodes_end_where_the_next_observation_is_known(tmp_path):
    data = D4RLExperienceReplay(NAME, 2, root=put(tmp_path))
    assert column(data, "observation") == [1, 2, 4, 5, 6]
    assert column(data, "next", "observation") == [2, 3, 5, 0, 7]
    assert column(data, "action") == [0, 1, 3, 4, 5]
    assert column(data, "next", "reward") == [0, 0.5, 1.5, 2, 2.5]
    assert column(data, "next", "terminated") == [False, False, False, True, False]
    assert column(data, "next", "truncated") == [False, True, False, False, True]
    assert column(data, "next", "done") == [False, True, False, True, True]
    assert column(data, "episode") == [0, 0, 1, 1, 2]
    assert not data[:]["done"].any()


def test_keys_shapes_and_metadata(tmp_path):
    data = D4RLExperienceReplay(NAME, 2, root=put(tmp_path))
    batch = data.sample()
    assert batch["next", "reward"].shape == batch["next", "done"].shape == (2, 1)
    assert batch["observation"].shape == (2, 4)
    assert batch["info", "goal"].dtype == torch.float64
    assert data[:]["next", "info", "goal"][:, 0].tolist() == [2, 4, 8, 0, 12]
    assert data.metadata["metadata/algorithm/name"] == "SAC"
    assert int(data.metadata["metadata/seed"]) == 3
    assert set(batch.keys()) == {
        *("observation", "action", "episode", "info", "next", "index"),
        *("done", "terminated", "truncated"),
    }


def test_terminate_on_end_keeps_the_last_steps_and_bootstraps_from_none(tmp_path):
    data = D4RLExperienceReplay(NAME, 2, root=put(tmp_path), terminate_on_end=True)
    assert column(data, "observation") == [1, 2, 3, 4, 5, 6, 7]
    assert column(data, "next", "observation") == [2, 3, 0, 5, 0, 7, 0]
    assert column(data, "next", "terminated") == [False, False, True, False, True, False, True]
    assert not data[:]["next", "truncated"].any()


def test_known_next_observations_are_kept(tmp_path):
    later = np.arange(10, 17, dtype=np.float32)[:, None].repeat(4, 1)
    data = D4RLExperienceReplay(NAME, 2, root=put(tmp_path, next_observations=later))
    assert column(data, "next", "observation") == list(range(10, 17))
    assert column(data, "next", "truncated") == [False, False, True, False, False, False, True]


def test_done_may_leave_cuts_out(tmp_path):
    data = D4RLExperienceReplay(NAME, 2, root=put(tmp_path), use_truncated_as_done=False)
    assert column(data, "next", "done") == column(data, "next", "terminated")
    assert any(column(data, "next", "truncated"))


def test_options_do_not_share_a_conversion(tmp_path):
    put(tmp_path)
    lengths = [
        len(D4RLExperienceReplay(NAME, root=tmp_path, terminate_on_end=kept))
        for kept in (False, True, False)
    ]
    assert lengths == [5, 7, 5]


def slow(terminals, timeouts, terminate_on_end):
    """The rules, step by step: (observation, next observation, terminated, truncated, episode)."""
    rows, episode, begun = [], 0, []
    for i, (ended, cut) in enumerate(zip(terminals, timeouts, strict=True)):
        cut = (cut or i + 1 == len(terminals)) and not ended
        if ended or (cut and terminate_on_end):
            begun.append((i + 1, 0, True, False, episode))
        elif cut:
            if begun:
                begun[-1] = (*begun[-1][:3], True, episode)
        else:
            begun.append((i + 1, i + 2, False, False, episode))
        if ended or cut:
            episode += bool(begun)
            rows, begun = rows + begun, []
    return rows


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12),
    terminate_on_end=st.booleans(),
    chunk=st.integers(1, 5),
)
def test_the_rules_hold_for_any_flags(steps, terminate_on_end, chunk):
    terminals, timeouts = (np.array(flags) for flags in zip(*steps, strict=True))
    expected = slow(terminals, timeouts, terminate_on_end)
    n = len(steps)
    known = {
        "observations": np.arange(1, n + 1)[:, None],
        "actions": np.zeros((n, 1)),
        "rewards": np.zeros(n),
        "terminals": terminals,
        "timeouts": timeouts,
    }
    kept = []
    writer = types.SimpleNamespace(metadata={}, append=kept.append)
    with mock.patch("rl.data.datasets.d4rl._CHUNK", chunk):
        _write(known, _Rules(terminate_on_end, use_truncated_as_done=True), writer, "it")
    keys = [
        ("observation",),
        ("next", "observation"),
        ("next", "terminated"),
        ("next", "truncated"),
    ]
    found = []
    for part in kept:
        columns = [reduce(operator.getitem, key, part) for key in [*keys, ("episode",)]]
        found += zip(*(column.reshape(-1).tolist() for column in columns), strict=True)
    assert found == expected


def test_chunks_make_no_difference(tmp_path, monkeypatch):
    whole = D4RLExperienceReplay(NAME, root=put(tmp_path / "a"))
    for size in (1, 2, 3):
        monkeypatch.setattr("rl.data.datasets.d4rl._CHUNK", size)
        parts = D4RLExperienceReplay(NAME, root=put(tmp_path / str(size)))
        assert (parts[:] == whole[:]).all()


def test_a_file_without_timeouts(tmp_path):
    data = D4RLExperienceReplay(NAME, root=put(tmp_path, timeouts=None))
    assert column(data, "episode") == [0, 0, 0, 0, 0, 1]


def test_the_example_of_the_readme(tmp_path):
    data = D4RLExperienceReplay(
        NAME,
        split_trajs=True,
        batch_size=2,
        sampler=SamplerWithoutReplacement(drop_last=True),
        root=put(tmp_path),
    )
    batches = list(data)
    assert len(data) == 3
    assert [batch.shape for batch in batches] == [torch.Size([2, 2])]
    assert sorted(data[:]["mask"].sum(-1).tolist()) == [1, 2, 2]
    (batch,) = batches
    assert (batch["observation"][~batch["mask"]] == 0).all()
    assert batch["index"].shape == (2, 2)


def test_the_file_is_downloaded(tmp_path, server, monkeypatch):
    put(tmp_path / "there")
    file = (tmp_path / "there" / NAME / "raw" / FILE).read_bytes()
    server.files[f"/maze2d/{FILE}"] = file
    monkeypatch.setattr(D4RLExperienceReplay, "base_url", server.url)
    data = D4RLExperienceReplay(NAME, 2, root=tmp_path / "here")
    assert len(data) == 5
    assert not (data.data_path / "download").exists()
    D4RLExperienceReplay(NAME, 2, root=tmp_path / "here", download=False)
    assert len(server.requests) == 1
    D4RLExperienceReplay(NAME, 2, root=tmp_path / "here", download="force")
    assert len(server.requests) == 2


def test_an_unknown_dataset_suggests_the_nearest(tmp_path):
    with pytest.raises(NotRegisteredError, match="Did you mean `maze2d-open-v0`"):
        D4RLExperienceReplay("maze2d-opn-v0", root=tmp_path)


def test_a_file_of_another_layout_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"maze2d-open-sparse.hdf5` lacks `terminals`"):
        D4RLExperienceReplay(NAME, root=put(tmp_path, terminals=None))


def test_a_damaged_file_is_named(tmp_path):
    put(tmp_path)
    (tmp_path / NAME / "raw" / FILE).write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=rf"{FILE}` is no HDF5 file or is damaged"):
        D4RLExperienceReplay(NAME, root=tmp_path)
    assert [path.name for path in (tmp_path / NAME).iterdir()] == ["raw"]


def test_d4rl_is_asked_for_only_where_it_is_needed(tmp_path):
    for options in ({"from_env": True}, {"direct_download": False}):
        with pytest.raises(MissingDependencyError, match="pip install git"):
            D4RLExperienceReplay(NAME, root=tmp_path, **options)
    with pytest.raises(ValueError, match="pass one of the two"):
        D4RLExperienceReplay(NAME, root=tmp_path, from_env=True, direct_download=True)
    with pytest.raises(TypeError, match="with `direct_download=False` only"):
        D4RLExperienceReplay(NAME, root=tmp_path, frames=3)


@pytest.fixture
def installed(monkeypatch):
    """Stands in for an installed D4RL."""
    calls = []
    env = types.SimpleNamespace(get_dataset=arrays)
    d4rl, gym = types.ModuleType("d4rl"), types.ModuleType("gym")
    gym.make = lambda name: env

    def qlearning_dataset(env, terminate_on_end, **kwargs):
        calls.append((terminate_on_end, kwargs))
        found = arrays(timeouts=None, next_observations=np.zeros((7, 4), np.float32))
        return {key: value for key, value in found.items() if value is not None}

    d4rl.qlearning_dataset = qlearning_dataset
    monkeypatch.setitem(sys.modules, "d4rl", d4rl)
    monkeypatch.setitem(sys.modules, "gym", gym)
    monkeypatch.setattr("rl.data.datasets.d4rl.is_module_available", lambda *names: True)
    return calls


def test_arrays_come_from_an_installed_d4rl(tmp_path, installed):
    data = D4RLExperienceReplay(NAME, root=tmp_path, from_env=True)
    assert column(data, "observation") == [1, 2, 4, 5, 6]
    data = D4RLExperienceReplay(
        NAME, root=tmp_path, direct_download=False, terminate_on_end=True, frames=3
    )
    assert len(data) == 7
    assert installed == [(True, {"frames": 3})]
