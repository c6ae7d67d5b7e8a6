import importlib.util
import sys
from pathlib import Path

import pytest

from rl.core.runs import RECIPES

TOY = Path(__file__).parent / "runs" / "toy_recipe.py"


@pytest.fixture
def toy_path():
    """The toy recipe as a program that is the `rl` command."""
    return TOY


@pytest.fixture
def toy():
    """The toy recipe's module, registered as `toy`."""
    spec = importlib.util.spec_from_file_location("toy_recipe", TOY)
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_recipe"] = module
    spec.loader.exec_module(module)
    with RECIPES.registered("toy", module):
        yield module
    del sys.modules["toy_recipe"]
