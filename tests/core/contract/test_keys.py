from rl.core.contract.keys import as_key_list, in_next, sibling


def test_as_key_list_reads_one_many_or_none():
    assert as_key_list(None) == []
    assert as_key_list("a") == ["a"]
    assert as_key_list(("a", ("b",))) == [("a", "b")]
    assert as_key_list(["a", ("b", "c")]) == ["a", ("b", "c")]


def test_in_next_and_sibling():
    assert in_next(("agents", "reward")) == ("next", "agents", "reward")
    assert sibling(("agents", "done"), "_reset") == ("agents", "_reset")
    assert sibling("done", "_reset") == "_reset"
