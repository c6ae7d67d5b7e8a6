import copy

import pytest

from rl.core.errors import CheckpointError, RLError, nearest


def test_a_checkpoint_error_has_its_report():
    error = CheckpointError("It is damaged.", result={"loaded": 1})
    assert (str(error), error.args, error.result) == (
        "It is damaged.",
        ("It is damaged.",),
        {"loaded": 1},
    )
    assert CheckpointError("x").result is None
    with pytest.raises(OSError, match="damaged"):
        raise error
    assert isinstance(error, RLError)


def test_a_checkpoint_error_is_sent_to_other_processes_with_its_report():
    sent = copy.copy(CheckpointError("It is damaged.", 3))  # as pickle does it
    assert (str(sent), sent.result) == ("It is damaged.", 3)


def test_the_nearest_name_is_suggested():
    assert nearest("polcy", ["policy", "optim"]) == "Did you mean `policy`?"
    assert nearest("zzz", ["b", "a"]) == "Known names: `a`, `b`."
    assert nearest("zzz", []) == "Nothing is registered."
