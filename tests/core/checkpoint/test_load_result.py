from rl.core.checkpoint import CheckpointLoadResult
from rl.core.checkpoint.load_result import compare_versions, issues


def test_only_what_both_sides_have_is_compared():
    found = compare_versions({"torch": "1", "ray": "2"}, {"torch": "1", "numpy": "3"})
    assert found == {
        "versions": {
            "torch": {"checkpoint": "1", "runtime": "1", "matches": True},
            "ray": {"checkpoint": "2", "runtime": None, "matches": True},
        },
        "version_skew": False,
    }
    assert compare_versions({"torch": "1"}, {"torch": "2"})["version_skew"]


def test_issues_are_named_in_order():
    result = CheckpointLoadResult(missing={"b"}, incompatible={"c": "too new."})
    result.manifest = {"components": {"bb": {}}}
    assert issues(result) == (
        "Component `b` is not in the checkpoint. Did you mean `bb`? Component `c`: too new."
    )
