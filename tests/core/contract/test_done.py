import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.contract.done import (
    DONE_NAMES,
    any_done,
    complete_done,
    done_groups,
    terminated_or_truncated,
)
from rl.core.errors import MissingKeyError, SpecError
from rl.core.specs import Binary, Composite

ALL = done_groups(list(DONE_NAMES))


def flag(*values):
    return torch.tensor(values).unsqueeze(-1)


def batch(**entries):
    return TensorDict(entries, batch_size=[2])


def values(td, key):
    return td[key].squeeze(-1).tolist()


def test_groups_keep_the_order_and_know_what_is_listed():
    groups = done_groups(["done", ("a", "b", "done"), "truncated"])
    assert [group.path for group in groups] == [(), ("a", "b")]
    assert groups[0].listed == {"done", "truncated"}
    assert groups[1].terminated == ("a", "b", "terminated")
    assert groups[0].key("_reset") == "_reset"
    assert groups[1].key("_reset") == ("a", "b", "_reset")
    assert done_groups(("a", "done"))[0].done == ("a", "done")


def test_other_names_are_no_done_keys():
    with pytest.raises(SpecError, match="last name must be `done`, `terminated` or `truncated`"):
        done_groups(["done", ("agents", "finished")])


@pytest.mark.parametrize(
    ("given_flags", "expected"),
    [
        ({"done": 1}, (1, 1, 0)),
        ({"done": 0}, (0, 0, 0)),
        ({"terminated": 1}, (1, 1, 0)),
        ({"terminated": 0}, (0, 0, 0)),
        ({"truncated": 1}, (1, 0, 1)),
        ({"truncated": 0}, (0, 0, 0)),
        ({"terminated": 0, "truncated": 1}, (1, 0, 1)),
        ({"terminated": 1, "truncated": 0}, (1, 1, 0)),
        ({"done": 1, "truncated": 1}, (1, 0, 1)),
        ({"done": 1, "truncated": 0}, (1, 1, 0)),
        ({"done": 1, "terminated": 0}, (1, 0, 1)),
        ({"done": 1, "terminated": 1}, (1, 1, 0)),
        ({"done": 1, "terminated": 1, "truncated": 1}, (1, 1, 1)),
    ],
)
def test_missing_flags_follow_from_those_given(given_flags, expected):
    td = TensorDict({name: torch.tensor([bool(v)]) for name, v in given_flags.items()})
    out = complete_done(td, ALL)
    assert out is td
    assert tuple(int(td[name]) for name in DONE_NAMES) == expected


def test_truncated_is_written_only_where_listed():
    td = TensorDict(done=torch.tensor([True]))
    complete_done(td, done_groups("done"))
    assert sorted(td.keys()) == ["done", "terminated"]


def test_derived_flags_share_no_memory():
    for name in ("done", "terminated"):
        td = TensorDict({name: torch.tensor([True])})
        complete_done(td, done_groups("done"))
        td["done"].fill_(False)
        assert td["terminated"].item() is True


def test_groups_are_completed_apart():
    td = batch(terminated=flag(True, False), agents=batch(done=flag(False, True)))
    complete_done(td, done_groups(["done", ("agents", "done")]))
    assert values(td, "done") == [True, False]
    assert values(td, ("agents", "terminated")) == [False, True]


def test_a_step_without_any_flag_is_told_what_to_write():
    with pytest.raises(MissingKeyError, match="write at least `terminated`"):
        complete_done(TensorDict(obs=torch.zeros(1)), done_groups("done"))


PAIRS = st.lists(st.booleans(), min_size=2, max_size=2)


@given(PAIRS, PAIRS)
def test_done_is_the_union(terminated, truncated):
    td = batch(terminated=flag(*terminated), truncated=flag(*truncated))
    complete_done(td, ALL)
    union = [a or b for a, b in zip(terminated, truncated, strict=True)]
    assert values(td, "done") == union
    assert any_done(td, ALL) is any(union)
    assert ("_reset" in td) is any(union)
    if any(union):
        assert values(td, "_reset") == union


def test_nothing_is_written_when_nothing_ended_unless_asked():
    td = batch(terminated=flag(False, False), truncated=flag(False, False))
    assert terminated_or_truncated(td) is False
    assert "_reset" not in td
    assert terminated_or_truncated(td, write_full_false=True) is False
    assert values(td, "_reset") == [False, False]


def test_without_a_key_nothing_is_written():
    td = batch(done=flag(True, False))
    assert terminated_or_truncated(td, key=None) is True
    assert sorted(td.keys()) == ["done"]


def test_every_group_with_flags_is_written_once_one_ended():
    td = batch(
        terminated=flag(False, False),
        a=batch(done=flag(False, True), text="x"),
        b=batch(obs=torch.zeros(2)),
        next=batch(done=flag(True, True)),
    )
    assert terminated_or_truncated(td) is True
    assert values(td, "_reset") == [False, False]
    assert values(td, ("a", "_reset")) == [False, True]
    assert "_reset" not in td["b"]
    assert "_reset" not in td["next"]


def test_a_value_that_is_there_stays():
    td = batch(done=flag(True, False), _reset=flag(False, True))
    assert terminated_or_truncated(td) is True
    assert values(td, "_reset") == [False, True]


def test_the_written_mask_is_no_view_of_the_flags():
    td = batch(done=flag(True, False))
    terminated_or_truncated(td)
    td["_reset"].fill_(True)
    assert values(td, "done") == [True, False]


def test_the_spec_says_where_the_flags_are():
    leaf = Binary(1, (2, 1), dtype=torch.bool)
    spec = Composite(done=leaf, a=Composite(done=leaf, shape=(2,)), shape=(2,))
    td = batch(
        truncated=flag(True, False),
        a=batch(done=flag(False, False)),
        b=batch(done=flag(True, True)),
    )
    assert terminated_or_truncated(td, full_done_spec=spec) is True
    assert values(td, "_reset") == [True, False]
    assert values(td, ("a", "_reset")) == [False, False]
    assert "_reset" not in td["b"]


def test_data_without_flags_did_not_end():
    td = batch(obs=torch.zeros(2))
    assert terminated_or_truncated(td) is False
    assert terminated_or_truncated(td, write_full_false=True) is False
    assert sorted(td.keys()) == ["obs"]


def test_all_patterns_agree_with_the_obvious_loop():
    for bits in itertools.product([False, True], repeat=6):
        done, terminated, truncated = bits[:2], bits[2:4], bits[4:]
        td = batch(done=flag(*done), terminated=flag(*terminated), truncated=flag(*truncated))
        expected = [any(column) for column in zip(done, terminated, truncated, strict=True)]
        assert terminated_or_truncated(td, write_full_false=True) is any(expected)
        assert values(td, "_reset") == expected
