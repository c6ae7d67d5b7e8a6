import pytest
from torch import nn

from rl.core.errors import RLError
from rl.core.modules import (
    SafeModule,
    ensure_tensordict_compatible,
    is_tensordict_compatible,
)


def module(**kwargs):
    return SafeModule(nn.Linear(3, 2), ["obs"], ["a"], **kwargs)


class TestCompatibility:
    def test_modules_of_tensors_are_wrapped(self):
        wrapped = ensure_tensordict_compatible(nn.Linear(3, 2))
        assert (wrapped.in_keys, wrapped.out_keys) == (["observation"], ["action"])
        assert is_tensordict_compatible(wrapped)
        assert not is_tensordict_compatible(nn.Linear(3, 2))

    def test_tensordict_modules_pass(self):
        subject = module()
        assert ensure_tensordict_compatible(subject, ["obs"]) is subject

    def test_keys_that_differ(self):
        with pytest.raises(RLError, match="leave `in_keys` out"):
            ensure_tensordict_compatible(module(), ["pixels"])

    def test_wrong_number_of_inputs(self):
        with pytest.raises(RLError, match="Give one key of `in_keys` per input"):
            ensure_tensordict_compatible(nn.Bilinear(3, 2, 1), ["obs"])
