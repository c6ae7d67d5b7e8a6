import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import MissingKeyError, RLError, ShapeError, SpecError
from rl.data import ActionChunkTransform, LazyTensorStorage, TensorDictReplayBuffer


def windows(*shape):
    action = torch.arange(torch.Size(shape).numel()).view(*shape, 1)
    return TensorDict({"action": action}, shape)


def test_by_hand():
    out = ActionChunkTransform(3)(windows(4))
    assert out["vla_action", "chunk"].squeeze(-1).tolist() == [
        [0, 1, 2],
        [1, 2, 3],
        [2, 3, 3],
        [3, 3, 3],
    ]
    assert out["action_is_pad"].tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize("trailing", [True, False])
def test_chunks_end_with_the_trajectory(trailing):
    done = torch.tensor([False, True, False, False])
    data = windows(4).set(("next", "done"), done.unsqueeze(-1) if trailing else done)
    out = ActionChunkTransform(2)(data)
    assert out["vla_action", "chunk"].squeeze(-1).tolist() == [[0, 1], [1, 1], [2, 3], [3, 3]]
    ignoring = ActionChunkTransform(2, done_key=None)(data)
    assert ignoring["vla_action", "chunk"][1].flatten().tolist() == [1, 2]


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 5))
def test_against_a_slow_reference(done, size):
    data = windows(2, len(done))
    data["next", "done"] = torch.tensor([done, done]).unsqueeze(-1)
    out = ActionChunkTransform(size)(data)
    for t in range(len(done)):
        last = next((j for j in range(t, len(done)) if done[j]), len(done) - 1)
        wanted = [min(t + k, last) for k in range(size)]
        assert out["vla_action", "chunk"][1, t].flatten().tolist() == [
            len(done) + j for j in wanted
        ]
        assert out["action_is_pad"][1, t].tolist() == [t + k > last for k in range(size)]


def test_in_a_buffer_nothing_is_added_to_the_rows():
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(8),
        transform=ActionChunkTransform(3, chunk_key="chunk", pad_key=("chunks", "pad")),
        batch_size=2,
    )
    rb.extend(windows(8, 4))
    assert list(rb.storage[:].keys()) == ["action"]
    assert rb.sample()["chunk"].shape == (2, 4, 3, 1)
    assert rb.sample()["chunks", "pad"].shape == (2, 4, 3)


def test_bad_input():
    with pytest.raises(SpecError, match="at least 1 action"):
        ActionChunkTransform(0)
    with pytest.raises(SpecError, match="count it from the end"):
        ActionChunkTransform(2, time_dim=1)
    with pytest.raises(ShapeError, match="sample slices"):
        ActionChunkTransform(2)(TensorDict({"action": torch.zeros(3)}, [3]))
    with pytest.raises(MissingKeyError, match="reads `action`"):
        ActionChunkTransform(2)(TensorDict({}))
    with pytest.raises(RLError, match="stored trajectories"):
        ActionChunkTransform(2).transform_output_spec(None)
