import importlib

import pytest

from rl.core.cli.doctor import Clash, clashes, doctor, unimportable
from rl.core.errors import ContractError

INSTALLED = {"rl-core": "0.1.0", "rl-envs": "0.1.0", "torch": "2.13.0+cpu", "gymnasium": "0.29"}


def found(requires):
    return list(clashes(lambda wheel: requires.get(wheel, []), INSTALLED.get))


def test_what_fits_is_silent():
    assert found({"rl-core": ["torch>=2.11"], "rl-envs": ["rl-core<0.2,>=0.1"]}) == []


def test_a_version_out_of_range_says_the_fix():
    assert found({"rl-envs": ["rl-core<0.3,>=0.2"]}) == [
        Clash("rl-envs", "needs rl-core<0.3,>=0.2, found 0.1.0", 'pip install "rl-core<0.3,>=0.2"')
    ]


def test_an_absent_requirement_says_the_fix():
    (clash,) = found({"rl-core": ["safetensors>=0.5"]})
    assert str(clash) == (
        'rl-core: needs safetensors>=0.5, which is absent. Fix: `pip install "safetensors>=0.5"`.'
    )


def test_an_extra_counts_only_when_its_library_is_there():
    extras = ['gymnasium>=1.1; extra == "gym"', 'mujoco>=3; extra == "mujoco"']
    assert [clash.what for clash in found({"rl-envs": extras})] == [
        "needs gymnasium>=1.1, found 0.29"
    ]


def test_other_markers_are_evaluated():
    assert found({"rl-core": ['nothing>=1; python_version < "3"']}) == []


def test_doctor_prints_every_version(capsys):
    code = doctor()
    printed = capsys.readouterr().out
    for name in ("python", "contract", "rl-core", "rl-distributed", "torch", "tensordict", "vllm"):
        assert f"\n{name}" in f"\n{printed}"
    assert (code == 0) == ("Nothing clashes." in printed)


def test_a_wheel_of_another_contract_is_told(monkeypatch):
    def refuse(name):
        raise ContractError("`rl-envs` was built for contract 0")

    monkeypatch.setattr(importlib, "import_module", refuse)
    clash = next(unimportable())
    assert clash.wheel == "rl-core"
    assert "was built for contract 0" in str(clash)


def test_doctor_returns_one_when_something_clashes(monkeypatch, capsys):
    monkeypatch.setattr(
        "rl.core.cli.doctor.clashes", lambda: iter([Clash("rl-envs", "is old", "pip install x")])
    )
    assert doctor() == 1
    assert "rl-envs: is old. Fix: `pip install x`." in capsys.readouterr().out


@pytest.mark.parametrize("wheel", ["rl-core"])
def test_installed_wheels_import(wheel):
    assert wheel not in {clash.wheel for clash in unimportable()}
