import pytest

from rl.core.errors import RLError
from rl.data import (
    LambdaScheduler,
    LinearScheduler,
    PrioritizedSampler,
    SchedulerList,
    StepScheduler,
)


def sampler():
    return PrioritizedSampler(10, alpha=0.8, beta=0.4)


def values(scheduler, obj, name, n):
    result = []
    for _ in range(n):
        scheduler.step()
        result.append(getattr(obj, name))
    return result


def test_linear():
    obj = sampler()
    scheduler = LinearScheduler(obj, "beta", final_value=1.0, num_steps=3)
    assert values(scheduler, obj, "beta", 5) == pytest.approx([0.6, 0.8, 1.0, 1.0, 1.0])


def test_step_multiplicative_and_clipped():
    obj = sampler()
    scheduler = StepScheduler(obj, "alpha", gamma=0.5, n_steps=2, min_value=0.3)
    assert values(scheduler, obj, "alpha", 5) == pytest.approx([0.8, 0.4, 0.4, 0.3, 0.3])


def test_step_additive_and_clipped():
    obj = sampler()
    scheduler = StepScheduler(obj, "beta", gamma=0.25, mode="additive", max_value=1.0)
    assert values(scheduler, obj, "beta", 3) == pytest.approx([0.65, 0.9, 1.0])


def test_lambda():
    obj = sampler()
    scheduler = LambdaScheduler(obj, "alpha", lambda step: 1 / step)
    assert values(scheduler, obj, "alpha", 2) == pytest.approx([0.8, 0.4])


def test_list_and_state():
    obj, other = sampler(), sampler()
    first = SchedulerList(LinearScheduler(obj, "beta", 1.0, 4), [StepScheduler(obj, "alpha", 0.5)])
    first.step()
    second = SchedulerList()
    second.append(LinearScheduler(other, "beta", 1.0, 4))
    second.append(StepScheduler(other, "alpha", 0.5))
    second.load_state_dict(first.state_dict())
    first.step()
    second.step()
    assert (obj.alpha, obj.beta) == (other.alpha, other.beta) == pytest.approx((0.2, 0.7))
    with pytest.raises(RLError, match="is of 0 schedulers, expected 2"):
        second.load_state_dict([])


def test_bad_arguments_raise():
    with pytest.raises(AttributeError, match="Did you mean `beta`"):
        LinearScheduler(sampler(), "betta", 1.0, 3)
    with pytest.raises(ValueError, match="`num_steps` is 0"):
        LinearScheduler(sampler(), "beta", 1.0, 0)
    with pytest.raises(ValueError, match="`n_steps` is 0"):
        StepScheduler(sampler(), "beta", n_steps=0)
    with pytest.raises(ValueError, match="expected 'multiplicative' or 'additive'"):
        StepScheduler(sampler(), "beta", mode="other")
    with pytest.raises(ValueError, match="more than `max_value`"):
        StepScheduler(sampler(), "beta", min_value=2.0, max_value=1.0)
