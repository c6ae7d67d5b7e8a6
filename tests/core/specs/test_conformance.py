"""Every kind of spec passes the kit; broken ones do not."""

import inspect
import re

import pytest
import torch

import rl.core.specs as ours
from rl.core.specs import (
    Binary,
    Bounded,
    Categorical,
    Choice,
    Composite,
    MultiCategorical,
    MultiOneHot,
    NonTensor,
    OneHot,
    Stacked,
    StackedComposite,
    TensorSpec,
    Unbounded,
)
from rl.core.testing import check_spec

SUBJECTS = {
    "Bounded": lambda: Bounded(-1.0, 1.0, (2, 3)),
    "Bounded, scalar": lambda: Bounded(0.0, 2.0, ()),
    "Bounded, bounds by element": lambda: Bounded(
        torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 5.0])
    ),
    "Bounded, integers": lambda: Bounded(-3, 4, (2,), dtype=torch.int64),
    "Bounded, bfloat16": lambda: Bounded(-1.0, 1.0, (3,), dtype=torch.bfloat16),
    "Unbounded": lambda: Unbounded((3,)),
    "Unbounded, bytes": lambda: Unbounded((2, 2), dtype=torch.uint8),
    "Categorical": lambda: Categorical(5),
    "Categorical, batched": lambda: Categorical(5, (3,)),
    "Categorical, bool": lambda: Categorical(2, (1,), dtype=torch.bool),
    "Categorical, masked": lambda: Categorical(3, mask=torch.tensor([True, False, True])),
    "OneHot": lambda: OneHot(4),
    "OneHot, batched": lambda: OneHot(4, (2, 4)),
    "OneHot, masked": lambda: OneHot(3, mask=torch.tensor([True, False, True])),
    "MultiCategorical": lambda: MultiCategorical([2, 3]),
    "MultiOneHot": lambda: MultiOneHot([2, 3]),
    "Binary": lambda: Binary(4),
    "Composite": lambda: Composite(
        {"a": Bounded(-1.0, 1.0, (3,)), ("b", "c"): OneHot(3), "d": Unbounded(())}
    ),
    "Composite, batched": lambda: Composite({"a": Categorical(3, (2,))}, shape=(2,)),
    "Composite, empty": lambda: Composite(),
    "Stacked": lambda: Stacked(Bounded(-1.0, 1.0, (2,)), Bounded(0.0, 9.0, (2,))),
    "StackedComposite": lambda: StackedComposite(
        Composite({"a": Bounded(-1.0, 1.0, (2,))}), Composite({"a": Bounded(0.0, 9.0, (2,))})
    ),
    "Choice": lambda: Choice([Bounded(-1.0, 1.0, (2,)), Bounded(5.0, 6.0, (2,))]),
    "NonTensor": lambda: NonTensor((), example_data="text"),
}
OPTIONS = {
    # the elements of a batch share the choice
    "Choice": {"rows": False},
    "NonTensor": {"numpy": False, "projects": False},
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_spec_is_one_set(name):
    check_spec(SUBJECTS[name](), **OPTIONS.get(name, {}))


def test_no_kind_is_left_out():
    kinds = {
        name
        for name in ours.__all__
        if inspect.isclass(getattr(ours, name)) and issubclass(getattr(ours, name), TensorSpec)
    }
    # names for what another class makes
    views = {
        f"{kind}{part}" for kind in ("Bounded", "Unbounded") for part in ("Discrete", "Continuous")
    }
    assert kinds - views - {"TensorSpec"} == {name.split(",")[0] for name in SUBJECTS}


class DrawsOutside(Bounded):
    def rand(self, shape=None):
        return super().rand(shape) + 5


class DrawsDouble(Bounded):
    def rand(self, shape=None):
        return super().rand(shape).double()


class DrawsOtherShape(Bounded):
    def rand(self, shape=None):
        return super().rand(shape).unsqueeze(-1)


class ProjectsNothing(Bounded):
    def project(self, val):
        return val


class ProjectsToZero(Bounded):
    def project(self, val):
        return val * 0


class ProjectsInPlace(Bounded):
    def project(self, val):
        return val.clamp_(-1, 1)


class EncodesWrong(Bounded):
    def encode(self, val, *, ignore_device=False):
        return super().encode(val, ignore_device=ignore_device) / 2


class ExpandsWrong(Bounded):
    def expand(self, *shape):
        return Bounded(-2.0, 2.0, shape)


class ClonesWrong(Bounded):
    def clone(self):
        return Bounded(-3.0, 3.0, self.shape)


class ClonesItself(Bounded):
    def clone(self):
        return self


class EqualsAll(Bounded):
    def __eq__(self, other):
        return True

    __hash__ = None


class SharesEntries(Composite):
    def clone(self):
        return self


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (DrawsOutside, "a draw of rand(()) lies outside"),
        (DrawsDouble, "a draw is torch.float64, the spec torch.float32"),
        (DrawsOtherShape, "rand(()) has shape [3, 1], not [3]"),
        (ProjectsNothing, "`project` gives a value that is outside"),
        (ProjectsToZero, "`project` changes a value that is inside"),
        (ProjectsInPlace, "`project` changes the value given in place"),
        (EncodesWrong, "`encode` does not undo `to_numpy`"),
        (ExpandsWrong, "`expand` and then an index is another set"),
        (ClonesWrong, "clone is not equal"),
        (ClonesItself, "a clone is the spec itself"),
        (EqualsAll, "it is equal to a spec of another shape"),
    ],
)
def test_the_kit_notices(kind, message):
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_spec(kind(-1.0, 1.0, (3,)))


def test_the_kit_notices_shared_entries():
    with pytest.raises(AssertionError, match="a clone is the spec itself"):
        check_spec(SharesEntries({"a": Unbounded((2,))}))
