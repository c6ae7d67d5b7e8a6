import math

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core.errors import MissingKeyError, SpecError
from rl.core.modules import NormalParamWrapper, RandomPolicy, TanhModule, VmapModule
from rl.core.specs import Bounded, Composite, OneHot, Unbounded


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


class TestRandomPolicy:
    def test_batch_is_that_of_the_tensordict(self):
        spec = OneHot(4)
        for batch in ((), (3,), (2, 3)):
            action = RandomPolicy(spec)(TensorDict(batch_size=batch))["action"]
            assert action.shape == (*batch, 4)
            assert spec.expand(*batch, 4).is_in(action)

    def test_spec_with_the_batch(self):
        td = RandomPolicy(OneHot(4, (3, 4)), ("g", "a"))(TensorDict(batch_size=[3]))
        assert td["g", "a"].shape == (3, 4)

    def test_composite(self):
        policy = RandomPolicy(Composite({"a": OneHot(4), ("g", "b"): Bounded(0, 1, (2,))}))
        assert policy.out_keys == ["a", ("g", "b")]
        td = policy(TensorDict(batch_size=[3]))
        assert td["g", "b"].shape == (3, 2)


class TestVmapModule:
    @pytest.mark.parametrize("dim", [0, 1, None])
    def test_equals_the_module(self, dim):
        net = TensorDictModule(nn.Linear(3, 4), ["x"], ["y"])
        td = TensorDict(x=torch.randn(5, 2, 3), batch_size=[5, 2])
        expected = VmapModule(net, dim, mock=True)(td.clone())["y"]
        torch.testing.assert_close(VmapModule(net, dim)(td.clone())["y"], expected)


def test_normal_params():
    loc, scale = NormalParamWrapper(nn.Linear(3, 4), scale_lb=0.5)(torch.randn(5, 3) * 100)
    assert loc.shape == (5, 2)
    assert scale.min() >= 0.5
