import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.envs.transforms.segments import segment_ends, segment_starts, time_dim


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_against_a_loop(done):
    starts, start = [], 0
    for t, over in enumerate(done):
        starts.append(start)
        start = t + 1 if over else start
    ends = [
        next((s for s in range(t, len(done)) if done[s]), len(done) - 1) for t in range(len(done))
    ]
    flags = torch.tensor(done)
    assert segment_starts(flags, 0).tolist() == starts
    assert segment_ends(flags, 0).tolist() == ends
    assert segment_starts(flags.unsqueeze(0), 1)[0].tolist() == starts


def test_time_dim():
    assert time_dim(TensorDict({}, [2, 3])) == 1
    assert time_dim(TensorDict({}, [2, 3], names=["time", None])) == 0
