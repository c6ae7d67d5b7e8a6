import pytest

from rl.objectives.trainers import EarlyStopping


class Loop:
    def __init__(self):
        self.metrics, self.collected_frames, self.reason = {}, 0, None

    def register_op(self, dest, op): ...
    def register_module(self, name, module): ...

    def request_stop(self, reason):
        self.reason = reason


def play(hook, values, step=10):
    loop = Loop()
    hook.register(loop)
    for value in values:
        loop.collected_frames += step
        loop.metrics["r"] = value
        hook()
        if loop.reason:
            break
    return loop


@pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
def test_it_stops_when_patience_is_over(mode, sign):
    hook = EarlyStopping(monitor="r", mode=mode, patience=20, wait_for=0)
    loop = play(hook, [sign * v for v in (1.0, 2.0, 2.0, 1.0, 2.0, 9.0)])
    assert loop.collected_frames == 50  # 30 frames after the best, of frame 20
    assert "has not improved" in loop.reason
    assert hook.best == sign * 2.0


def test_small_gains_do_not_count():
    hook = EarlyStopping(monitor="r", patience=10, wait_for=0, min_delta=1.0)
    assert play(hook, [1.0, 1.5, 1.9, 2.5]).collected_frames == 30


def test_the_start_is_not_judged():
    hook = EarlyStopping(monitor="r", patience=0, wait_for=40)
    assert play(hook, [5.0, 4.0, 3.0, 2.0, 1.0]).collected_frames == 50


def test_a_metric_that_is_not_finite_stops_at_once():
    assert play(EarlyStopping(monitor="r", wait_for=0), [float("nan")]).reason == "`r` is nan."
    lenient = EarlyStopping(monitor="r", wait_for=0, check_finite=False)
    assert play(lenient, [float("nan")]).reason is None


def test_its_state_goes_on():
    hook, again = (EarlyStopping(monitor="r", wait_for=0) for _ in range(2))
    play(hook, [1.0])
    again.load_state_dict(hook.state_dict())
    assert again.best == 1.0


def test_an_unknown_mode():
    with pytest.raises(ValueError, match='"min" or "max"'):
        EarlyStopping(mode="most")
