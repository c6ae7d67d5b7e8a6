import pytest

from rl.core import RLError, auto_unwrap_transformed_env, set_auto_unwrap_transformed_env


@pytest.fixture(autouse=True)
def nobody_set_it(monkeypatch):
    monkeypatch.setattr("rl.core.auto_unwrap._modes", [])
    monkeypatch.delenv("AUTO_UNWRAP_TRANSFORMED_ENV", raising=False)


def test_true_unless_it_is_set():
    assert auto_unwrap_transformed_env() is True
    assert auto_unwrap_transformed_env(allow_none=True) is None


def test_contexts_nest():
    with set_auto_unwrap_transformed_env(False):
        with set_auto_unwrap_transformed_env(True):
            assert auto_unwrap_transformed_env(allow_none=True) is True
        assert auto_unwrap_transformed_env() is False
    assert auto_unwrap_transformed_env(allow_none=True) is None


def test_set_holds_and_contexts_end_where_it_stood():
    set_auto_unwrap_transformed_env(False).set()
    assert auto_unwrap_transformed_env() is False
    with set_auto_unwrap_transformed_env(True):
        pass
    assert auto_unwrap_transformed_env() is False
    set_auto_unwrap_transformed_env(None).set()
    assert auto_unwrap_transformed_env(allow_none=True) is None


def test_decorator():
    @set_auto_unwrap_transformed_env(False)
    def read():
        return auto_unwrap_transformed_env()

    assert read() is False
    assert auto_unwrap_transformed_env() is True


@pytest.mark.parametrize(("text", "expected"), [("0", False), ("False", False), ("1", True)])
def test_environment_variable(monkeypatch, text, expected):
    monkeypatch.setenv("AUTO_UNWRAP_TRANSFORMED_ENV", text)
    assert auto_unwrap_transformed_env() is expected
    with set_auto_unwrap_transformed_env(not expected):
        assert auto_unwrap_transformed_env() is not expected


def test_bad_input(monkeypatch):
    with pytest.raises(TypeError, match="expected True, False or None"):
        set_auto_unwrap_transformed_env("no")
    monkeypatch.setenv("AUTO_UNWRAP_TRANSFORMED_ENV", "maybe")
    with pytest.raises(RLError, match="'maybe', expected one of 1, true"):
        auto_unwrap_transformed_env()
