import math

import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, SpecError
from rl.core.modules import TanhModule
from rl.core.specs import Bounded, OneHot, Unbounded


class TestTanhModule:
    def test_default_bounds(self):
        td = TanhModule(in_keys=["a"], out_keys=["b"])(TensorDict(a=torch.tensor([0.0, 1.0])))
        torch.testing.assert_close(td["b"], torch.tensor([0.0, math.tanh(1.0)]))

    def test_bounds_by_hand(self):
        squash = TanhModule(in_keys=["a"], low=-2.0, high=torch.tensor([3.0, 4.0]))
        td = squash(TensorDict(a=torch.zeros(3, 2)))
        assert td["a"][0].tolist() == [0.5, 1.0]
        assert "half_0" in squash.state_dict()

    def test_spec(self):
        squash = TanhModule(in_keys=["a"], spec=Bounded(-3, 5, (2,)), clamp=True)
        value = squash(TensorDict(a=torch.full((4, 2), 99.0)))["a"]
        assert (value < 5).all()
        torch.testing.assert_close(value, torch.full((4, 2), 5.0), atol=1e-4, rtol=0)
        assert squash.spec["a"] == Bounded(-3, 5, (2,))

    def test_bounds_by_key(self):
        squash = TanhModule(in_keys=["a", "b"], low={"a": 0.0}, high={"b": 3.0})
        td = squash(TensorDict(a=torch.tensor([0.0]), b=torch.tensor([0.0])))
        assert (td["a"].item(), td["b"].item()) == (0.5, 1.0)

    def test_bad_input(self):
        with pytest.raises(SpecError, match="pass `low=` and `high=`"):
            TanhModule(in_keys=["a"], low=1.0, high=0.0)
        with pytest.raises(SpecError, match="expected finite low < high"):
            TanhModule(in_keys=["a"], spec=Unbounded(2))
        with pytest.raises(SpecError, match="which has no bounds"):
            TanhModule(in_keys=["a"], spec=OneHot(2))
        with pytest.raises(MissingKeyError, match="`a` is missing"):
            TanhModule(in_keys=["a"])(TensorDict())
