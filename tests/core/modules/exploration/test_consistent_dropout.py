import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential

from rl.core.errors import MissingDependencyError, MissingKeyError, RLError, ShapeError
from rl.core.modules import ConsistentDropout, ConsistentDropoutModule
from rl.core.modules.recurrent import primers
from rl.core.registry import Registry


class TestConsistentDropout:
    def test_by_hand(self):
        dropout, x = ConsistentDropout(0.75), torch.tensor([[1.0, 2.0, 3.0]])
        mask = torch.tensor([[True, False, True]])
        out, same = dropout(x, mask)
        assert out.tolist() == [[4.0, 0.0, 12.0]]
        assert same is mask

    def test_share_and_expectation(self):
        out, mask = ConsistentDropout(0.2)(torch.ones(200, 200))
        assert abs(mask.float().mean() - 0.8) < 0.02
        assert abs(out.mean() - 1) < 0.02
        assert mask[0].ne(mask[1]).any(), "each entry of the batch has its own mask"

    def test_evaluation_changes_nothing(self):
        x = torch.randn(4, 3)
        assert ConsistentDropout(0.9).eval()(x) is x

    def test_no_dropout(self):
        x = torch.randn(4, 3)
        assert torch.equal(ConsistentDropout(0.0)(x)[0], x)

    def test_gradient_passes_where_kept(self):
        x = torch.randn(4, 3, requires_grad=True)
        out, mask = ConsistentDropout(0.5)(x)
        out.sum().backward()
        assert torch.equal(x.grad, mask * 2.0)

    def test_make_mask(self):
        dropout = ConsistentDropout(0.5)
        assert dropout.make_mask(shape=(2, 3)).shape == (2, 3)
        assert dropout.make_mask(input=torch.zeros(4)).dtype is torch.bool
        with pytest.raises(RLError, match="give one of the two"):
            dropout.make_mask()

    @pytest.mark.parametrize("p", [-0.1, 1.0])
    def test_bad_probability(self, p):
        with pytest.raises(RLError, match="expected 0 <= p < 1"):
            ConsistentDropout(p)

    def test_bad_mask(self):
        with pytest.raises(ShapeError, match="give the mask of the same data"):
            ConsistentDropout()(torch.zeros(2, 3), torch.ones(3, dtype=torch.bool))
        with pytest.raises(ShapeError, match="true where an entry is kept"):
            ConsistentDropout()(torch.zeros(2, 3), torch.full((2, 3), 2.0))


class TestConsistentDropoutModule:
    @pytest.mark.parametrize("key", ["hidden", ("agents", "hidden")])
    def test_the_update_sees_the_mask_of_the_rollout(self, key):
        first = TensorDictModule(torch.nn.Linear(3, 64), ["x"], [key])
        last = TensorDictModule(torch.nn.Linear(64, 2), [key], ["y"])
        policy = TensorDictSequential(first, ConsistentDropoutModule(0.5, in_keys=key), last)
        with torch.no_grad():
            stored = policy(TensorDict(x=torch.randn(5, 3), batch_size=[5]))
        mask_key = policy.module[1].mask_key
        batch = stored.select("x", mask_key)
        torch.testing.assert_close(policy(batch.clone())["y"], stored["y"])
        fresh = policy(batch.select("x"))
        assert not torch.allclose(fresh["y"], stored["y"])

    def test_keys(self):
        module = ConsistentDropoutModule(0.5, in_keys="x", out_keys=[("a", "y")])
        assert module.in_keys == ["x"]
        assert module.out_keys == [("a", "y"), ("a", "y_dropout_mask")]
        named = ConsistentDropoutModule(0.5, ["x", "mask"])
        assert named.out_keys == ["x", "mask"]
        assert named.carried_keys == ["mask"]
        assert "mask" in named(TensorDict(x=torch.ones(3)))

    def test_evaluation_writes_no_mask(self):
        module = ConsistentDropoutModule(0.5, "x", "y").eval()
        td = module(TensorDict(x=torch.ones(3)))
        assert set(td.keys()) == {"x", "y"}
        assert torch.equal(td["y"], td["x"])

    def test_primer_draws_masks(self, monkeypatch):
        registry = Registry("rl.transforms.none")
        monkeypatch.setattr(primers, "TRANSFORMS", registry)
        with registry.registered("TensorDictPrimer", lambda *args, **kwargs: (args, kwargs)):
            module = ConsistentDropoutModule(0.75, "x", input_shape=(200,))
            (spec,), kwargs = module.make_tensordict_primer()
            made = [kwargs["default_value"]() for _ in range(2)]
            with pytest.raises(RLError, match="pass `input_shape=`"):
                ConsistentDropoutModule(0.5, "x").make_tensordict_primer()
        assert all(spec["x_dropout_mask"].is_in(mask) for mask in made)
        assert made[0].ne(made[1]).any()
        assert 0.1 < made[0].float().mean() < 0.4
        td = module(TensorDict(x=torch.ones(200), x_dropout_mask=made[0]))
        assert torch.equal(td["x"] != 0, made[0])

    def test_primer_needs_the_envs(self, monkeypatch):
        monkeypatch.setattr(primers, "TRANSFORMS", Registry("rl.transforms.none"))
        with pytest.raises(MissingDependencyError, match='pip install "rl-envs"'):
            ConsistentDropoutModule(0.5, "x", input_shape=(4,)).make_tensordict_primer()

    def test_bad_input(self):
        with pytest.raises(MissingKeyError, match="`x` is missing"):
            ConsistentDropoutModule(0.5, "x")(TensorDict())
        with pytest.raises(RLError, match="add one module per entry"):
            ConsistentDropoutModule(0.5, ["x", "y", "z"])
        with pytest.raises(RLError, match="give one key"):
            ConsistentDropoutModule(0.5, ["x", "mask"], ["y", "other"])
        td = TensorDict(x=torch.ones(3), x_dropout_mask=torch.ones(2, dtype=torch.bool))
        with pytest.raises(ShapeError, match="give the mask of the same data"):
            ConsistentDropoutModule(0.5, "x")(td)
