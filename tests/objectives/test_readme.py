import re
from pathlib import Path

README = Path(__file__).parents[2] / "packages" / "rl-objectives" / "README.md"


def test_the_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    scope = {}
    exec(compile(code, str(README), "exec"), scope)
    assert scope["batch"]["td_error"].shape == (32,)
    source = scope["loss"].value_network_params
    target = scope["loss"].target_value_network_params
    moved = [not (source[key] == target[key]).all() for key in source.keys(True, True)]
    assert all(moved)
