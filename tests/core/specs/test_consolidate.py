import torch

from rl.core.specs import (
    Bounded,
    Categorical,
    Composite,
    NonTensor,
    Unbounded,
    check_no_exclusive_keys,
    consolidate_spec,
    contains_lazy_spec,
)


def lazy():
    return torch.stack(
        [
            Composite(a=Bounded(0, 1, (3,)), b=Categorical(2, (2,))),
            Composite(a=Bounded(0, 1, (5,)), d=Composite(e=Unbounded((2, 2))), t=NonTensor(())),
        ]
    )


def test_contains_lazy_spec():
    assert contains_lazy_spec(lazy())
    assert contains_lazy_spec(Composite(x=lazy()))
    assert contains_lazy_spec(Composite(x=torch.stack([Categorical(2), Categorical(3)])))
    assert not contains_lazy_spec(Composite(x=Composite(y=Categorical(2)), n=None))


def test_check_no_exclusive_keys():
    assert not check_no_exclusive_keys(lazy())
    assert not check_no_exclusive_keys(Composite(x=lazy()))
    assert check_no_exclusive_keys(Composite(x=lazy()), recurse=False)
    assert check_no_exclusive_keys(Categorical(2))
    same = torch.stack([Composite(a=Unbounded((2,))), Composite(a=Unbounded((3,)))])
    assert check_no_exclusive_keys(same)


def test_consolidation_fills_missing_entries_with_empty_ones():
    before = lazy()
    spec = consolidate_spec(before)
    assert check_no_exclusive_keys(spec)
    assert sorted(spec.keys()) == ["a", "b", "d", "t"]
    assert spec[1]["b"] == Unbounded((0,), dtype=torch.int64)
    assert spec[0]["d", "e"] == Unbounded((0, 0))
    assert spec[0]["t"] == NonTensor(())
    assert spec.is_in(spec.rand())
    assert before == lazy()  # the input is left alone


def test_consolidation_reaches_nested_stacks_when_told():
    outer = Composite(x=lazy().lock_())
    assert check_no_exclusive_keys(consolidate_spec(outer))
    assert not check_no_exclusive_keys(consolidate_spec(outer, recurse_through_entries=False))
    nested = torch.stack([Composite(x=lazy(), y=Unbounded(1)), Composite(x=lazy(), z=None)])
    assert check_no_exclusive_keys(consolidate_spec(nested))
    shallow = consolidate_spec(nested, recurse_through_stack=False)
    assert not check_no_exclusive_keys(shallow)
    assert shallow["z"] is None


def test_consolidation_merges_groups_with_other_keys():
    spec = torch.stack(
        [Composite(g=Composite(a=Unbounded((2,)))), Composite(g=Composite(b=Unbounded((2,))))]
    )
    assert sorted(consolidate_spec(spec)["g"].keys()) == ["a", "b"]
