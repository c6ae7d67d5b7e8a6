import torch
from tensordict import TensorDict

from rl.data import split_trajectories
from rl.data.datasets.columns import ColumnWriter, open_converted
from rl.data.datasets.padding import pad_trajectories, trajectory_bounds


def flags(*values):
    return torch.tensor(values, dtype=torch.bool)[:, None]


def test_bounds_follow_flags_and_numbers():
    rows = TensorDict({"next": {"done": flags(0, 1, 0, 0)}, "episode": torch.tensor([0, 0, 1, 2])})
    rows.batch_size = [4]
    starts, lengths = trajectory_bounds(rows)
    assert starts.tolist() == [0, 2, 3]
    assert lengths.tolist() == [2, 1, 1]
    starts, lengths = trajectory_bounds(rows.exclude("episode"))
    assert lengths.tolist() == [2, 2]
    assert trajectory_bounds(rows.select())[1].tolist() == [4]


def test_trajectories_are_padded_with_zeros(tmp_path):
    with ColumnWriter(tmp_path / "rows") as writer:
        done = flags(0, 0, 1, 1, 0).numpy()
        writer.metadata = {"name": "x"}
        x = torch.arange(1, 11).reshape(5, 2)
        writer.append({"x": x, "text": list("abcde"), "next": {"done": done}})
    pad_trajectories(open_converted(tmp_path / "rows"), tmp_path / "padded")
    found = open_converted(tmp_path / "padded")
    assert found.rows["x"][..., 0].tolist() == [[1, 3, 5], [7, 0, 0], [9, 0, 0]]
    assert found.rows["mask"].int().tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert found.texts == {("text",): list("abcde")}
    assert found.metadata == {"name": "x"}


def test_padded_trajectories_are_those_of_split_trajectories(tmp_path):
    rows = {"x": torch.rand(6, 2), "next": {"done": flags(0, 1, 0, 0, 0, 1), "x": torch.rand(6)}}
    with ColumnWriter(tmp_path / "rows") as writer:
        writer.append(rows)
    pad_trajectories(open_converted(tmp_path / "rows"), tmp_path / "padded")
    expected = split_trajectories(TensorDict(rows, [6]))
    found = open_converted(tmp_path / "padded").rows
    for key in ("x", ("next", "x"), ("next", "done"), "mask"):
        assert torch.equal(found[key], expected[key])
