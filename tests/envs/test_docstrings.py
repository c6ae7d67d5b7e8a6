import pytest

from rl.core.testing import module_names, run_doctests


@pytest.mark.parametrize("module", module_names("rl.envs"))
def test_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_doctests(module) == ""
