import subprocess
import sys

import pytest

import rl.llm
from rl.core.errors import MissingDependencyError


def test_importing_the_wheel_imports_no_engine():
    code = "import sys, rl.llm; print({'transformers', 'tokenizers', 'vllm'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert shown.stdout.strip() == "set()"


def test_a_missing_engine_gives_the_pip_command():
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from rl.llm import TransformersWrapper\n"
        "TransformersWrapper('some/model')"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert 'pip install "rl-llm[transformers]"' in shown.stderr
    assert MissingDependencyError.__name__ in shown.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError):
        rl.llm.NoSuchThing  # noqa: B018
