import sys
import types

import pytest
import torch

from rl.core import MissingDependencyError, implement_for


@pytest.fixture(autouse=True)
def library(monkeypatch):
    """A library whose version the tests set."""
    module = types.ModuleType("fakelib")
    module.__version__ = "2.4.1rc1+cu12"
    monkeypatch.setitem(sys.modules, "fakelib", module)
    monkeypatch.setattr(implement_for, "_functions", {})
    return module


def define(*ranges, **options):
    """Define one function for several ranges; it returns its range."""
    for start, end in ranges:

        @implement_for("fakelib", start, end, **options)
        def fun(x=None, bounds=(start, end)):
            """Says its range."""
            return bounds, x

    return fun


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.9", (None, "1.0")),
        ("1.0", ("1.0", "2.4.1")),
        ("1", ("1.0", "2.4.1")),
        ("2.4.0", ("1.0", "2.4.1")),
        ("2.4.1rc1+cu12", ("2.4.1", None)),
        ("2.10", ("2.4.1", None)),
    ],
)
def test_the_range_is_from_its_start_to_before_its_end(library, version, expected):
    library.__version__ = version
    fun = define((None, "1.0"), ("1.0", "2.4.1"), ("2.4.1", None))
    assert fun(7) == (expected, 7)


def test_the_last_that_fits_wins_and_any_wrapper_dispatches():
    @implement_for("fakelib", "2.0")
    def fun():
        return "first"

    first = fun

    @implement_for("fakelib", "1.0")
    def fun():
        return "second"

    assert first() == fun() == "second"
    assert fun.__name__ == "fun"


def test_other_libraries_may_be_missing():
    @implement_for("fakelib")
    def fun():
        return "there"

    @implement_for("no_such_library")
    def fun():  # noqa: F811
        return "missing"

    @implement_for(lambda: __import__("no_such_library"))
    def fun():  # noqa: F811
        return "missing too"

    assert fun() == "there"


def test_modules_may_come_from_a_function_and_lack_a_version(library):
    del library.__version__

    @implement_for(lambda: library, None, "1.0")
    def fun():
        return "no version is the earliest"

    assert fun().startswith("no version")


def test_a_choice_holds_until_it_is_reset(library):
    fun = define((None, "2.0"), ("2.0", None))
    assert fun()[0] == ("2.0", None)
    library.__version__ = "1.0"
    assert fun()[0] == ("2.0", None)
    implement_for.reset()
    assert fun()[0] == (None, "2.0")


def test_methods_and_class_methods():
    class Env:
        @implement_for("fakelib", None, "2.0")
        def seed(self):
            return "old"

        @implement_for("fakelib", "2.0")
        def seed(self):  # noqa: F811
            return type(self).__name__

        @implement_for("fakelib", "2.0", class_method=True)
        def make(cls):  # noqa: N805
            return cls

    class Other:
        @implement_for("fakelib")
        def seed(self):
            return "other's own"

    assert Env().seed() == "Env"
    assert Env.make() is Env
    assert Other().seed() == "other's own"


def test_compilable_chooses_when_it_is_defined(library):
    fun = define((None, "2.0"), ("2.0", None), (None, "1.0"), compilable=True)
    library.__version__ = "1.5"
    assert fun()[0] == ("2.0", None)
    compiled = torch.compile(lambda x: fun(x)[1] + 1, fullgraph=True, backend="eager")
    assert compiled(torch.ones(1)).item() == 2.0


def test_nothing_fits():
    fun = define(("3.0", None), ("0.1", "0.2"))
    with pytest.raises(
        MissingDependencyError, match=r"`fakelib` from 3\.0 to before any"
    ) as raised:
        fun()
    assert "which is 2.4.1rc1+cu12" in str(raised.value)
    assert "Install one of these versions" in str(raised.value)
