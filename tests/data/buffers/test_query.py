import torch
from tensordict import TensorDict

from rl.data import LazyTensorStorage, TensorDictReplayBuffer, traj


def test_stored_trajectories_that_match():
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(10))
    x = torch.arange(14)
    data = TensorDict({"x": x, "next": {"done": (x % 4 == 3).unsqueeze(-1)}}, [14])
    for part in data.split(7):
        rb.extend(part)
    rb.append_transform(lambda td: td.set("y", td["x"] * 2))
    assert [t.x.tolist() for t in rb.query()] == [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13]]
    assert [t.x.tolist() for t in rb.query(traj.y.last() == 22)] == [[8, 9, 10, 11]]
    assert rb.query(traj.length > 4) == []
