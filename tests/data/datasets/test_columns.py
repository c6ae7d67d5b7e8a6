import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from rl.data.datasets.columns import ColumnWriter, _mapped, is_converted, open_converted
from rl.data.datasets.error import DatasetError


def rows(start, stop):
    x = np.arange(start, stop, dtype=np.float32)
    return {
        "x": x,
        "text": [f"t{int(v) % 2}" for v in x],
        "next": {"done": x[:, None] > 3, "image": np.zeros((len(x), 2, 3), np.uint8)},
    }


def write(folder, *parts):
    with ColumnWriter(folder) as writer:
        for part in parts:
            writer.append(part)


@pytest.fixture
def folder(tmp_path):
    with ColumnWriter(tmp_path / "made") as writer:
        writer.metadata = {"name": "n", "scores": np.ones(3)}
        writer.append(rows(0, 2))
        writer.append(rows(2, 5))
    return tmp_path / "made"


def test_rows_are_those_that_were_written(folder):
    found = open_converted(folder)
    assert found.rows["x"].tolist() == [0, 1, 2, 3, 4]
    assert found.rows["next", "done"].squeeze(-1).tolist() == [False] * 4 + [True]
    assert found.rows["next", "image"].shape == (5, 2, 3)
    assert found.rows["text"].tolist() == [0, 1, 0, 1, 0]
    assert found.texts == {("text",): ["t0", "t1"]}
    assert found.metadata["name"] == "n"
    assert [path.name for path in folder.parent.iterdir()] == ["made"]
    found.verify()


def test_writing_to_loaded_rows_does_not_reach_the_files(folder):
    open_converted(folder).rows["x"].fill_(-1)
    assert open_converted(folder).rows["x"].sum() == 10


def test_simultaneous_conversions(tmp_path):
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(write, tmp_path / "made", rows(0, 5)) for _ in range(8)]
            for future in done:
                future.result()
        assert len(open_converted(tmp_path / "made").rows) == 5
        assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_killed_conversions_left_is_removed(tmp_path):
    old, new = tmp_path / ".made.0.converting", tmp_path / ".made.1.converting"
    for path in (old, new):
        path.mkdir()
    os.utime(old, (0, 0))
    write(tmp_path / "made", rows(0, 5))
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "made"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems set no memory aside")
def test_files_larger_than_memory_are_mapped(tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 41)  # without taking room on the disk
    assert len(_mapped(tmp_path / "large")) == 1 << 41


def test_the_other_byte_order(tmp_path):
    with ColumnWriter(tmp_path / "made") as writer:
        writer.append({"x": np.array([1, 2], ">i4")})
    assert open_converted(tmp_path / "made").rows["x"].tolist() == [1, 2]


def test_entries_without_elements(tmp_path):
    with ColumnWriter(tmp_path / "made") as writer:
        writer.append({"x": torch.zeros(2, 0)})
    assert open_converted(tmp_path / "made").rows["x"].shape == (2, 0)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"x": np.zeros(1)}, "`next.done` is not in every episode"),
        (
            {**rows(0, 1), "x": np.zeros(1)},
            r"row 5: `x` has .* float64, expected \[1\]",
        ),
        ({**rows(0, 1), "x": np.zeros((1, 2), np.float32)}, r"`x` has shape \[1, 2\]"),
        ({**rows(0, 1), "x": np.zeros(2, np.float32)}, "expected"),
    ],
)
def test_rows_that_differ_raise_and_leave_the_earlier_conversion(bad, said, folder):
    with pytest.raises(DatasetError, match=said):
        write(folder, rows(0, 5), bad)
    assert len(open_converted(folder).rows) == 5
    assert [path.name for path in folder.parent.iterdir()] == ["made"]


def test_what_no_tensor_holds_raises(tmp_path):
    with pytest.raises(DatasetError, match="`x` has dtype object"):
        write(tmp_path / "made", {"x": np.array([None])})


def test_a_source_without_rows_raises(tmp_path):
    with pytest.raises(DatasetError, match="holds no transition"):
        write(tmp_path / "made")
    assert not is_converted(tmp_path / "made")


def file_of(folder, key):
    return next(folder.glob(f"*-{key}.memmap"))


def test_a_shortened_file_is_named(folder):
    path = file_of(folder, "x")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=rf"{path.name}` has 19 bytes, expected 20.*'force'"):
        open_converted(folder)


def test_a_missing_file_is_named(folder):
    file_of(folder, "next.done").unlink()
    with pytest.raises(DatasetError, match=r"next.done.memmap` is missing"):
        open_converted(folder)


def test_a_changed_file_is_named(folder):
    path = file_of(folder, "x")
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    with pytest.raises(DatasetError, match=rf"{path.name}` is damaged: its sha256"):
        open_converted(folder)


def test_large_files_are_hashed_on_demand(folder, monkeypatch):
    monkeypatch.setattr("rl.data.datasets.columns._HASHED_BYTES", 10)
    path = file_of(folder, "x")
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    found = open_converted(folder)
    with pytest.raises(DatasetError, match="sha256"):
        found.verify()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(format="x"), "is not the manifest of a dataset"),
        (lambda d: d.update(version=2), "pip install --upgrade rl-data"),
        (lambda d: d["body"].update(num_rows=4), "field `sha256` does not fit"),
    ],
)
def test_a_changed_manifest_is_named(change, said, folder):
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=said):
        open_converted(folder)


def test_damaged_metadata_is_named(folder):
    (folder / "metadata" / "manifest.json").write_text("{")
    with pytest.raises(DatasetError, match=r"metadata.*'force'"):
        open_converted(folder)
