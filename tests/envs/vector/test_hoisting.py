import torch

from rl.core import Compose
from rl.envs.libs import GymEnv
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import ObservationNorm, RewardSum, StepCounter
from rl.envs.vector.hoisting import batchable_transform, common_transform, same, strip


def norm(scale):
    return ObservationNorm(0.0, scale, in_keys=["observation"])


def test_same():
    assert same(Compose(StepCounter(), norm(2.0)), Compose(StepCounter(), norm(2.0)))
    assert not same(norm(2.0), norm(3.0))
    assert not same(StepCounter(), RewardSum())
    assert not same(StepCounter(5), StepCounter(6))
    assert not same(Compose(StepCounter()), Compose(StepCounter(), StepCounter()))
    assert same({"a": [torch.ones(2)]}, {"a": [torch.ones(2)]})
    assert not same(torch.ones(2), torch.ones(2, dtype=torch.int64))
    assert not same({"a": 1}, {"b": 1})


def test_common_transform():
    first = StepCounter()
    assert common_transform([first, StepCounter()]) is first
    assert common_transform([first, None]) is None
    assert common_transform([None, None]) is None
    assert common_transform([first, RewardSum()]) is None


def test_only_batchable_transforms_are_offered():
    env = GymEnv("CartPole-v1")
    assert batchable_transform(env) is None
    counter = StepCounter()
    wrapped = TransformedEnv(env, counter)
    offered = batchable_transform(wrapped)
    assert same(offered, wrapped.transform)
    assert offered is not wrapped.transform
    assert strip(wrapped) is env

    class Stateful(StepCounter):
        batchable = False

    assert batchable_transform(TransformedEnv(env, Stateful())) is None
