from rl.core.checkpoint.undo import Undo


def test_the_last_is_undone_first_and_once():
    done, undo = [], Undo()
    for name in "abc":
        undo.note(name, lambda name=name: done.append(name))
    assert (undo.run(), done) == ("", ["c", "b", "a"])
    assert (undo.run(), done) == ("", ["c", "b", "a"])


def test_one_that_refuses_keeps_none_of_the_others():
    done, undo = [], Undo()
    undo.note("a", lambda: done.append("a"))
    undo.note("b", lambda: {}["gone"])
    assert "`b` could not be brought back to what it held: 'gone'" in undo.run()
    assert done == ["a"]
