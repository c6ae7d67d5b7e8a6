from collections import Counter

import torch
from tensordict import TensorDict

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


def test_what_a_state_dict_notes_beside_its_keys_is_kept():
    """A batch norm's version, and which keys of a TensorDict are nested."""
    for source in (
        torch.nn.Sequential(torch.nn.BatchNorm1d(2)),
        TensorDict(a=TensorDict(b=torch.ones(3, 1)), batch_size=[3]),
    ):
        writer = TreeWriter()
        state = source.state_dict()
        tree = writer.encode(state)
        found = TreeReader(writer.tensors).decode(tree)
        assert found._metadata == state._metadata
        assert list(found) == list(state)
        source.load_state_dict(found)


def test_counters_count_after_reading():
    writer = TreeWriter()
    tree = writer.encode({"milestones": Counter([2, 3, 3])})
    found = TreeReader({}).decode(tree)["milestones"]
    assert sorted(found.elements()) == [2, 3, 3]
