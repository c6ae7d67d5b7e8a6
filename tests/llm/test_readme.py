import re
from pathlib import Path

README = Path(__file__).parents[2] / "packages" / "rl-llm" / "README.md"


def test_the_twenty_lines_run():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    scope = {}
    exec(code, scope)
    assert scope["loss"].isfinite()
    assert all(parameter.grad is not None for parameter in scope["policy"].parameters())
