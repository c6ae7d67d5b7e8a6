"""The names that users know are there, with the arguments that they pass."""

import inspect
import re
from pathlib import Path

import pytest

import rl.data

FILE = Path(__file__).parent / "names.txt"


def read():
    """Return the lines of `names.txt`, as (grade, name, arguments)."""
    lines = [line for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([ABC]) ([\w.]+)(?:: (.+))?", line) for line in lines]
    assert all(found), "a line reads `A Name: argument argument`"
    return [(match[1], match[2], (match[3] or "").split()) for match in found]


NAMES = read()


def arguments_of(found):
    """Return what may be passed: with `**kwargs`, what the parent class takes too."""
    names = set()
    for part in inspect.getmro(found) if inspect.isclass(found) else [found]:
        parameters = inspect.signature(part.__init__ if inspect.isclass(part) else part).parameters
        names |= set(parameters)
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            break
    return names


@pytest.mark.parametrize(("name", "arguments"), [line[1:] for line in NAMES])
def test_a_name_is_there_with_its_arguments(name, arguments):
    found = getattr(rl.data, name, None)
    assert found is not None, f"`{name}` cannot be imported from rl.data"
    assert name in rl.data.__all__
    taken = arguments_of(found) if arguments else set()
    lacking = [word for word in arguments if not word.startswith("-") and word not in taken]
    assert lacking == []
    dropped = [word for word in arguments if word.startswith("-") and word[1:] in taken]
    assert dropped == [], "they are taken now: drop the `-`, and the line in README.md"


def test_no_name_is_listed_twice():
    names = [line[1] for line in NAMES]
    assert len(names) == len(set(names))
    assert len(NAMES) > 90


def test_arguments_of_a_parent_count_where_they_are_handed_on():
    class Parent:
        def __init__(self, a):
            self.a = a

    class Child(Parent):
        def __init__(self, b, **kwargs):
            super().__init__(**kwargs)

    assert arguments_of(Child) >= {"a", "b"}
    assert "a" not in arguments_of(lambda b: b)
