import torch

from rl.core.checkpoint.tree import TreeReader, TreeWriter


def test_encoding_is_plain_json_where_json_can():
    state = {"a": [1, 2.5, None, True, "x"], "b": {"c": -0.0}}
    assert TreeWriter().encode(state) == state


def test_marks_of_what_json_lacks():
    writer = TreeWriter()
    assert writer.encode((1,)) == {"$tuple": [1]}
    assert writer.encode({0: "x"}) == {"$dict": [[0, "x"]]}
    assert writer.encode({"$a": 1}) == {"$dict": [["$a", 1]]}
    assert writer.encode(float("inf")) == {"$float": "inf"}
    assert writer.encode(b"\x00") == {"$bytes": "AA=="}


def test_tensors_are_named_by_their_path():
    writer = TreeWriter()
    writer.encode({"a": {"b": torch.zeros(1)}, "a/b": torch.ones(1), "c": [torch.ones(1)]})
    assert list(writer.tensors) == ["a/b", "a/b#1", "c/0"]


def test_stored_tensors_do_not_follow_later_changes():
    writer = TreeWriter()
    weight = torch.zeros(2)
    writer.encode({"w": weight})
    weight += 1
    assert writer.tensors["w"].tolist() == [0.0, 0.0]


def test_reader_keeps_shared_raw_tensors_shared():
    writer = TreeWriter()
    z = torch.zeros(2, dtype=torch.complex64)
    tree = writer.encode([z, z])
    first, second = TreeReader(writer.tensors).decode(tree)
    first[0] = 1
    assert second[0] == 1
