"""Every python block of the READMEs and of `docs` runs, and what its comments promise is true.

The blocks of a file run in order in one namespace. `<!-- no-run -->` on the line before a block
leaves it out. A line `expression  # -> text` promises the representation of the expression.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^(?P<skip><!-- no-run -->\n+)?```python\n(?P<code>.*?)^```$", re.M | re.S)
PROMISE = re.compile(r"#\s*->\s*(?P<text>.+)$")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)\s]*)?\)")

FILES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "packages").glob("*/README.md"),
    ]
)


@dataclass(frozen=True)
class Block:
    line: int  # of the code's first line in its file
    code: str

    def run(self, namespace: dict, file: Path) -> list[str]:
        """Run the block; return the promises that were not kept."""
        tree = ast.parse("\n" * (self.line - 1) + self.code, str(file))
        lines = ["", *[""] * (self.line - 1), *self.code.splitlines()]
        promised = {i for i, text in enumerate(lines) if PROMISE.search(text)}
        ends = {node.end_lineno for node in tree.body if isinstance(node, ast.Expr)}
        broken = [f"{file.name}:{i}: no expression ends here" for i in promised - ends]
        for node in tree.body:
            promise = PROMISE.search(lines[node.end_lineno])
            if promise is None or not isinstance(node, ast.Expr):
                exec(compile(ast.Module([node], []), str(file), "exec"), namespace)
                continue
            value = eval(compile(ast.Expression(node.value), str(file), "eval"), namespace)
            found = " ".join(repr(value).split())
            if found != promise["text"].strip():
                broken.append(f"{file.name}:{node.end_lineno}: promised {promise['text']}: {found}")
        return broken


def blocks_of(text: str) -> list[Block]:
    return [
        Block(text.count("\n", 0, match.start("code")) + 1, match["code"])
        for match in BLOCK.finditer(text)
        if not match["skip"]
    ]


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


WITH_CODE = [file for file in FILES if blocks_of(file.read_text())]


@pytest.mark.parametrize("file", WITH_CODE, ids=name_of)
def test_the_blocks_run(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace = {"__name__": "__main__"}
    broken = [text for b in blocks_of(file.read_text()) for text in b.run(namespace, file)]
    assert broken == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_python_block_is_found(file):
    """A fence that the pattern misses would never run."""
    text = file.read_text()
    fences = len(re.findall(r"^\s*```\s*(?:py|python|python3|pycon)\b", text, re.M))
    assert fences == len(list(BLOCK.finditer(text)))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_links_lead_to_files(file):
    targets = [match["target"] for match in LINK.finditer(file.read_text())]
    local = [target for target in targets if "://" not in target]
    assert [t for t in local if not (file.parent / t).exists()] == []


def test_every_guide_teaches_by_code():
    guides = {file for file in FILES if file.parent.name == "guides"}
    assert guides
    assert guides <= set(WITH_CODE)


def test_a_broken_promise_is_found(tmp_path):
    """The checker itself: blocks, promises and the marker."""
    text = "\n```python\nx = 1\nx + 1  # -> 3\n```\n\n<!-- no-run -->\n```python\nboom\n```\n"
    (block,) = blocks_of(text)
    assert block.line == 3
    assert block.run({}, tmp_path / "a.md") == ["a.md:4: promised 3: 2"]
    assert Block(1, "x = 1  # -> 1\n").run({}, tmp_path / "a.md") == [
        "a.md:1: no expression ends here"
    ]
