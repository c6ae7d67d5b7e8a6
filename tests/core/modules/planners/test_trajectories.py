import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError
from rl.core.modules.planners.trajectories import alive_after, below_next, elites, per_entry


def test_elites_are_gathered_per_batch_entry():
    actions = torch.arange(2 * 4 * 3 * 1).reshape(2, 4, 3, 1)  # [H, N, B, A]
    index = torch.tensor([[3, 0, 1], [2, 2, 2]])
    out = elites(actions, index)
    assert out.shape == (2, 2, 3, 1)
    for k in range(2):
        for b in range(3):
            assert torch.equal(out[:, k, b], actions[:, index[k, b], b])


def test_alive_after():
    alive = torch.tensor([True, True, False])
    done = torch.tensor([[True], [False], [False]])
    root = TensorDict({("next", "done"): done}, [3])
    assert alive_after(root, ("next", "reward"), alive).tolist() == [False, True, False]
    # a group's flag goes before the root's, and one agent may end before the others
    group = torch.tensor([[[True], [True]], [[True], [False]], [[False], [False]]])
    root[("next", "agents", "done")] = group
    assert alive_after(root, ("next", "agents", "reward"), alive).tolist() == [False, True, False]
    assert alive_after(TensorDict({}, [3]), ("next", "reward"), alive) is alive


def test_per_entry():
    td = TensorDict({("next", "reward"): torch.ones(2, 3, 1)}, [2])
    assert per_entry(td, ("next", "reward"), "").shape == (2, 3)
    with pytest.raises(MissingKeyError, match="pass this"):
        per_entry(td, "reward", "pass this.")
    assert below_next(("agents", "reward")) == ("next", "agents", "reward")
