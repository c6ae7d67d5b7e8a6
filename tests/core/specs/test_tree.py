import pytest
import torch

from rl.core.errors import SpecError
from rl.core.specs import Composite, Unbounded
from rl.core.specs.tree import SpecTree, as_names, checked_names, entry_of


def test_composites_and_their_stacks_are_trees():
    parts = [Composite(a=Unbounded(1)), Composite(b=Unbounded(1))]
    assert all(isinstance(part, SpecTree) for part in (*parts, torch.stack(parts)))


def test_as_names():
    assert as_names("a") == ("a",)
    assert as_names(("a", ("b", "c"))) == ("a", "b", "c")


def test_checked_names():
    assert checked_names(None, torch.Size([3])) is None
    assert checked_names([None], torch.Size([3])) is None
    assert checked_names(["a", None], torch.Size([3, 4])) == ("a", None)
    with pytest.raises(SpecError, match="one name"):
        checked_names(["a"], torch.Size([]))


def test_entry_of_reads_mappings():
    assert entry_of({"a": 1}, "a") == 1
    assert entry_of({}, "a") is None
