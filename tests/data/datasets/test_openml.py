import hashlib
import json

import numpy as np
import pytest

from rl.core import NotRegisteredError
from rl.data import DatasetError, OpenMLExperienceReplay

TABLE = """@attribute age real
@attribute work {a, b, c}
@attribute class {no, yes}
@data
1, a, yes
3, c, no
5, ?, yes
7, b, ?
?, b, no
"""


def put(root, name, text=TABLE):
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    (raw / "table.arff").write_text(text)
    return root


def test_categories_become_numbers(tmp_path):
    data = OpenMLExperienceReplay("adult_num", 2, root=put(tmp_path, "adult_num"))
    assert data[:]["X"].tolist() == [[1, 0], [3, 2]]
    assert data[:]["y"].tolist() == [1, 0]
    assert data.metadata["classes"] == ["no", "yes"]
    assert data.sample()["X"].shape == (2, 2)


def test_categories_become_columns(tmp_path):
    data = OpenMLExperienceReplay("adult_onehot", 2, root=put(tmp_path, "adult_onehot"))
    x = data[:]["X"].numpy()
    assert x[:, 1:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    ages = np.array([1, 3, 5])
    assert np.allclose(x[:, 0], (ages - ages.mean()) / ages.std())
    assert data[:]["y"].tolist() == [1, 0, 1]


def test_classes_that_are_numbers(tmp_path):
    table = "@attribute a real\n@attribute class real\n@data\n1, 7\n2, 3\n3, 7"
    data = OpenMLExperienceReplay("covertype", root=put(tmp_path, "covertype", table))
    assert data[:]["y"].tolist() == [1, 0, 1]
    assert data.metadata["classes"] == ["3", "7"]


@pytest.fixture
def remote(server, monkeypatch):
    server.files["/data/x.arff"] = TABLE.encode()
    told = {
        "url": f"{server.url}/data/x.arff",
        "md5_checksum": hashlib.md5(TABLE.encode()).hexdigest(),
    }
    server.answers["/api/v1/json/data/1590"] = json.dumps({"data_set_description": told}).encode()
    monkeypatch.setattr(OpenMLExperienceReplay, "base_url", server.url)
    return server


def test_the_table_is_downloaded_and_verified(remote, tmp_path):
    assert len(OpenMLExperienceReplay("adult_num", root=tmp_path / "a")) == 2
    remote.files["/data/x.arff"] += b"8, a, no\n"
    with pytest.raises(DatasetError, match="its md5 is"):
        OpenMLExperienceReplay("adult_num", root=tmp_path / "b")


def test_other_tables_raise(tmp_path):
    with pytest.raises(NotRegisteredError, match="Did you mean `adult_num`"):
        OpenMLExperienceReplay("adult_nu", root=tmp_path)
    with pytest.raises(DatasetError, match="lacks the column `class:`"):
        OpenMLExperienceReplay("magic", root=put(tmp_path, "magic"))
