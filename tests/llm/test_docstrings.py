import doctest
import importlib
import pkgutil

import pytest

import rl.llm

NAMES = ["rl.llm", *(m.name for m in pkgutil.walk_packages(rl.llm.__path__, "rl.llm."))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=FLAGS)
    assert result.failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_module_declares_what_is_public(name):
    module = importlib.import_module(name)
    assert all(hasattr(module, public) for public in module.__all__)
    assert sorted(module.__all__) == sorted(set(module.__all__))
