import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import MissingKeyError, RLError, ShapeError
from rl.data import LazyTensorStorage, Reward2GoTransform, TensorDictReplayBuffer

KINDS = st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=60)


def test_by_hand(stream):
    """Rewards 1, 2, 4, 8; the second step ends an episode, the last is cut by the data."""
    out = Reward2GoTransform(gamma=0.5, out_keys=["to_go"]).inv(stream([0, 1, 0, 0]))
    assert out["to_go"].flatten().tolist() == [2, 2, 8, 8]
    assert out["next", "reward"].flatten().tolist() == [1, 2, 4, 8]
    in_place = Reward2GoTransform(gamma=0.5).inv(stream([0, 1, 0, 0]))
    assert in_place["next", "reward"].flatten().tolist() == [2, 2, 8, 8]


@settings(deadline=None)
@given(KINDS)
def test_against_a_slow_reference(stream, kinds):
    kinds[-1] = 1
    done = [k > 0 for k in kinds]
    data = stream(done, [k == 1 for k in kinds], reward=torch.randn(len(kinds), 1).double())
    reward, slow, total = data["next", "reward"].flatten().tolist(), [], 0.0
    for r, d in zip(reversed(reward), reversed(done), strict=True):
        total = r + (0.0 if d else 0.9 * total)
        slow.insert(0, total)
    out = Reward2GoTransform(0.9, out_keys=["to_go"]).inv(data)
    torch.testing.assert_close(out["to_go"].flatten(), torch.tensor(slow).double())


def test_in_a_buffer(stream):
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(20, ndim=2),
        transform=Reward2GoTransform(0.5, out_keys=["to_go"]),
        batch_size=3,
    )
    rb.extend(stream([[0, 0, 1], [0, 1, 1]]))
    assert rb[:]["to_go"].squeeze(-1).tolist() == [[3, 4, 4], [2, 2, 4]]
    batch = rb.sample()
    stored = rb[:]["to_go"][batch["index"][:, 1], batch["index"][:, 0]]
    assert torch.equal(batch["to_go"], stored), "the way out changes nothing"


def test_truncated_ends_an_episode(stream):
    data = stream([0, 0, 0])
    data["next", "truncated"][1] = True
    assert Reward2GoTransform(1.0).inv(data)["next", "reward"].flatten().tolist() == [3, 2, 4]


def test_bad_input(stream):
    with pytest.raises(RLError, match="collect whole episodes"):
        Reward2GoTransform().inv(stream([[0, 1], [0, 0]]))
    with pytest.raises(MissingKeyError, match="`Reward2GoTransform` reads `r`"):
        Reward2GoTransform(in_keys=["r"]).inv(stream([0, 1]))
    with pytest.raises(ShapeError, match="give as many"):
        Reward2GoTransform(in_keys=["a", "b"], out_keys=["c"])
    with pytest.raises(ShapeError, match="along time"):
        Reward2GoTransform().inv(TensorDict({}))
    with pytest.raises(RLError, match="its `inv` to a collector's `postproc`"):
        Reward2GoTransform().transform_output_spec(None)
