"""The names that users know are there, with the arguments that they pass."""

import inspect
import re
from pathlib import Path

import pytest

import rl.core
import rl.core.modules

FILE = Path(__file__).parent / "names.txt"


def read():
    """Return the lines of `names.txt`, as (grade, name, arguments)."""
    lines = [line for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([ABC]) ([\w.]+)(?:: (.+))?", line) for line in lines]
    assert all(found), "a line reads `A Name: argument argument`"
    return [(match[1], match[2], (match[3] or "").split()) for match in found]


NAMES = read()


def find(name):
    """Return what `name` is in `rl.core` or `rl.core.modules`, `None` when it is nowhere."""
    first, *rest = name.split(".")
    found = getattr(rl.core, first, None) or getattr(rl.core.modules, first, None)
    for part in rest:
        found = getattr(found, part, None)
    return found


@pytest.mark.parametrize(("name", "arguments"), [line[1:] for line in NAMES])
def test_a_name_is_there_with_its_arguments(name, arguments):
    found = find(name)
    assert found is not None, f"`{name}` cannot be imported from rl.core or rl.core.modules"
    first = name.partition(".")[0]
    assert first in {*rl.core.__all__, *rl.core.modules.__all__}, "it is listed in `__all__`"
    taken = inspect.signature(found).parameters if arguments else {}
    lacking = [word for word in arguments if not word.startswith("-") and word not in taken]
    assert lacking == []
    dropped = [word for word in arguments if word.startswith("-") and word[1:] in taken]
    assert dropped == [], "they are taken now: drop the `-`, and the line in README.md"


def test_no_name_is_listed_twice():
    names = [line[1] for line in NAMES]
    assert len(names) == len(set(names))
    assert len(NAMES) > 140


def test_a_name_that_is_missing_is_noticed():
    assert find("NoSuchName") is None
    assert find("TensorDict.no_such_method") is None
