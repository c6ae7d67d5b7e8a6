"""What holds for every module: its size, its imports, what it may not call."""

import ast
import sys

import pytest
from packaging.requirements import Requirement

FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
# a parent and the processes it started send each other functions; files never hold any
WIRES = ("rl.envs.vector.", "rl.envs.collectors.", "rl.distributed.")
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "torch.save"}
FORBIDDEN_NAMES = {"utils", "common", "misc", "helpers"}
# distributions whose modules are called otherwise
IMPORT_NAMES = {"pillow": "PIL"}
# portions whose modules may import what their extra brings
EXTRA_OF = {"rl.objectives.recipes": "recipes", "rl.llm.recipes": "recipes"}


def imports(tree):
    """Yield every imported module name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module


def lazy(tree):
    """Yield what `optional(...)` names, as (module, extra)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "optional":
            (extra,) = [word.value.value for word in node.keywords if word.arg == "extra"]
            yield node.args[0].value, extra


def portion(name):
    """Return the top of a module name: `rl.core` of ours, `numpy` of others."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "rl" else parts[0]


def provided(lines):
    """Return the import names that requirement lines bring."""
    names = set()
    for line in lines:
        need = Requirement(line)
        names.add(
            need.name.replace("-", ".", 1)
            if need.name.startswith("rl-")
            else IMPORT_NAMES.get(need.name, need.name)
        )
    return names


def with_extra(project, name):
    """Return a wheel's extra with the extras of the same wheel that it includes."""
    own, extras = project["project"]["name"], project["project"]["optional-dependencies"]
    lines = []
    for line in extras[name]:
        need = Requirement(line)
        if need.name == own:
            for inner in need.extras:
                lines += with_extra(project, inner)
        else:
            lines.append(line)
    return lines


def test_a_module_has_at_most_500_lines(module):
    assert module.text.count("\n") <= 500, "split it by concept"


def test_no_import_inside_a_function(module):
    inner = [
        f"{function.name}, line {node.lineno}"
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


def test_names_tell_a_concept(module):
    assert not FORBIDDEN_NAMES & set(module.name.split("."))


def test_no_pickle_no_eval(module):
    forbidden = FORBIDDEN_MODULES
    if module.name.startswith(WIRES):
        forbidden = FORBIDDEN_MODULES - {"cloudpickle", "pickle"}
    assert not {name.split(".")[0] for name in imports(module.tree)} & forbidden
    calls = {ast.unparse(n.func) for n in ast.walk(module.tree) if isinstance(n, ast.Call)}
    assert not calls & FORBIDDEN_CALLS
    assert "allow_pickle=True" not in module.text


def test_public_names_are_listed(module):
    """Each module has a literal `__all__`; main roots may collect those of their parts."""
    names = [
        node.targets[0].id
        for node in module.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ] + [
        node.target.id
        for node in module.tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert "__all__" in names


def test_a_module_says_what_it_is_for(module):
    assert ast.get_docstring(module.tree)


def test_imports_are_declared_dependencies(module, project):
    declared = project(module.wheel)["project"]
    allowed = provided(declared["dependencies"]) | {f"rl.{module.wheel}"} | sys.stdlib_module_names
    for prefix, extra in EXTRA_OF.items():
        if module.name.startswith(prefix):
            allowed |= provided(with_extra(project(module.wheel), extra))
    undeclared = {portion(name) for name in imports(module.tree)} - allowed
    assert not undeclared, "declare it, or take it in with `optional`"


def test_optional_imports_belong_to_an_extra(module, project):
    for name, extra in lazy(module.tree):
        need = Requirement(extra)
        assert need.name == f"rl-{module.wheel}", f"`{name}` is asked of another wheel"
        (key,) = need.extras
        assert portion(name) in provided(with_extra(project(module.wheel), key)) | {"torch"}


def test_tests_import_what_their_wheel_declares(wheel, root, project):
    """So that they run where the wheel is installed alone."""
    declared = project(wheel)
    brought = provided(declared["project"]["dependencies"]) | sys.stdlib_module_names
    for extra in declared["project"]["optional-dependencies"]:
        if extra != "recipes":
            brought |= provided(with_extra(declared, extra))
    undeclared = {
        f"{path.relative_to(root)}: {name}"
        for path in (root / "tests" / wheel).rglob("*.py")
        for name in map(portion, imports(ast.parse(path.read_text())))
        if name not in brought | {f"rl.{wheel}"}
    }
    assert undeclared == set()


@pytest.mark.parametrize("text", ["import rl.core.x", "from numpy.linalg import norm"])
def test_the_reader_of_imports_sees_both_forms(text):
    assert list(map(portion, imports(ast.parse(text)))) in (["rl.core"], ["numpy"])
