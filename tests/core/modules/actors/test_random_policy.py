from tensordict import TensorDict

from rl.core.modules import RandomPolicy
from rl.core.specs import Bounded, Composite, OneHot


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
