import re
from pathlib import Path

README = Path(__file__).parents[2] / "packages" / "rl-data" / "README.md"


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    scope = {}
    exec(compile(code, str(README), "exec"), scope)
    assert set(scope["batch"].keys()) >= {"index", "priority_weight", "td_error", "observation"}
    assert (tmp_path / "buffer" / "manifest.json").is_file()
