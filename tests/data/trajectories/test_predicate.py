import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError
from rl.data import TrajectoryPredicate, filter_trajectories, traj

DATA = TensorDict(
    {
        "x": torch.arange(6),
        "flag": torch.tensor([0, 1, 0, 1, 1, 1]).bool(),
        "next": {
            "reward": torch.arange(6.0).unsqueeze(-1),
            "done": torch.tensor([0, 0, 1, 0, 0, 1]).bool().unsqueeze(-1),
        },
    },
    [6],
)
FIRST, SECOND = [0, 1, 2], [3, 4, 5]


# the same trajectories as TorchRL 0.14.1 keeps
@pytest.mark.parametrize(
    ("predicate", "kept"),
    [
        (traj.reward.sum() > 5, [SECOND]),
        (traj.reward.max() == 2, [FIRST]),
        (traj.reward.mean() < 3, [FIRST]),
        (traj.reward.first() == 3, [SECOND]),
        (traj.reward.last() != 2, [SECOND]),
        (traj.reward.min() <= 0, [FIRST]),
        ((traj.reward > 4).any(), [SECOND]),
        ((traj.reward >= 3).all(), [SECOND]),
        (traj.flag.all(), [SECOND]),
        (traj.flag.any(), [FIRST, SECOND]),
        (traj["next", "reward"].sum() > 5, [SECOND]),
        (traj.total_reward >= 3, [FIRST, SECOND]),
        (~(traj.length > 3), [FIRST, SECOND]),
        ((traj.length == 3) & (traj.x.first() == 0), [FIRST]),
        ((traj.length == 4) | (traj.x.first() == 3), [SECOND]),
        (4 > traj.length, [FIRST, SECOND]),  # noqa: SIM300
        (TrajectoryPredicate(lambda t: t.length == 3) & (traj.reward.sum() < 4), [FIRST]),
    ],
)
def test_conditions(predicate, kept):
    assert isinstance(predicate, TrajectoryPredicate)
    assert [t.data["x"].tolist() for t in filter_trajectories(DATA, predicate)] == kept


def test_keys_and_description():
    both = (traj.reward.sum() > 5) & ~(traj["agents", "done"] == True).any()  # noqa: E712
    assert both.required_keys() == {"reward", ("agents", "done")}
    assert repr(both) == (
        "TrajectoryPredicate((traj.reward.sum() > 5) & "
        "(~((traj[('agents', 'done')] == True).any())))"
    )
    assert (traj.length > 1).required_keys() == frozenset()


def test_steps_are_no_condition():
    for wrong in (
        lambda: filter_trajectories(DATA, traj.reward > 1),
        lambda: bool(traj.reward > 1),
        lambda: (traj.reward > 1) & (traj.length > 1),
        lambda: (traj.length > 1) & (traj.reward > 1),
    ):
        with pytest.raises(TypeError, match=r"`\(traj.reward > 1\).any\(\)` or `.all\(\)`"):
            wrong()


def test_and_instead_of_ampersand():
    with pytest.raises(TypeError, match="join conditions with `&`"):
        bool((traj.length > 2) and (traj.length < 9))
    with pytest.raises(TypeError, match=r"compare it, as in `... > 0`"):
        bool(traj.reward.sum())


def test_an_entry_that_is_missing():
    with pytest.raises(MissingKeyError, match="neither `nope`"):
        filter_trajectories(DATA, traj.nope.sum() > 1)
    with pytest.raises(AttributeError, match=r"write `traj\['_private'\]`"):
        traj._private  # noqa: B018
