import re
from importlib import metadata


def test_the_examples_of_the_readme_run(tmp_path, monkeypatch):
    """The README as the installed wheel carries it, so that this runs without the repository."""
    monkeypatch.chdir(tmp_path)
    text = metadata.metadata("rl-core").get_payload()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
