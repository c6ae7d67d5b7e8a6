import pytest

from rl.core import NotRegisteredError
from rl.objectives.trainers.hooks import POINTS, Hooks


def test_operations_follow_each_other_with_their_arguments():
    hooks = Hooks()
    hooks.add("batch_process", lambda batch: batch + 1)
    hooks.add("batch_process", lambda batch: None)  # keeps what it got
    hooks.add("batch_process", lambda batch, by: batch * by, by=3)
    assert hooks.chain("batch_process", 1) == 6


@pytest.mark.parametrize("point", POINTS)
def test_every_point_takes_an_operation(point):
    hooks = Hooks()
    hooks.add(point, print)
    assert hooks[point] == [(print, {})]


def test_mistakes():
    with pytest.raises(NotRegisteredError, match="Did you mean `post_loss`"):
        Hooks().add("post_los", print)
    with pytest.raises(TypeError, match="must be callable"):
        Hooks().add("post_loss", 3)
