import pytest

from rl.core.optional import is_module_available
from rl.core.testing import module_names, run_doctests


@pytest.mark.parametrize("module", module_names("rl.objectives"))
def test_examples_run(module, tmp_path, monkeypatch):
    if module.startswith("rl.objectives.recipes") and not is_module_available("rl.envs", "rl.data"):
        pytest.skip("recipes need rl-objectives[recipes]")
    monkeypatch.chdir(tmp_path)
    assert run_doctests(module) == ""
