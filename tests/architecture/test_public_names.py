"""What users import: each portion's root, and examples that show how."""

import importlib
import inspect
import types


def public(module):
    return {name: getattr(module, name) for name in module.__all__}


def test_all_is_what_the_root_binds(wheel):
    portion = importlib.import_module(f"rl.{wheel}")
    bound = {
        name
        for name, value in vars(portion).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    } - {"annotations"}
    listed = list(portion.__all__)
    assert len(listed) == len(set(listed))
    # every root calls it; only rl-core offers it
    ours = {"require_contract"} if wheel != "core" else set()
    assert bound - ours == {n for n in listed if not isinstance(vars(portion)[n], types.ModuleType)}


def test_no_name_has_two_meanings(packages):
    """Over what the packages export; the names of inner modules are their own affair."""
    seen = {}
    clashes = []
    for name in packages:
        for key, value in public(importlib.import_module(name)).items():
            if seen.setdefault(key, (name, value))[1] is not value:
                clashes.append(f"{key}: {seen[key][0]} and {name}")
    assert clashes == []


def test_public_classes_show_an_example(package):
    """Those that a package exports; the classes of its inner modules are its own affair."""
    lacking = []
    for name, value in public(importlib.import_module(package)).items():
        if not inspect.isclass(value) or not value.__module__.startswith("rl."):
            continue
        if issubclass(value, BaseException) or getattr(value, "_is_protocol", False):
            continue
        if ">>>" not in (value.__doc__ or ""):
            lacking.append(name)
    assert lacking == []


def test_public_functions_say_what_they_do(module):
    loaded = importlib.import_module(module.name)
    functions = {k: v for k, v in public(loaded).items() if inspect.isfunction(v)}
    assert [name for name, value in functions.items() if not value.__doc__] == []
