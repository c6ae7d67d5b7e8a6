import math
import multiprocessing

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import Compose, MissingKeyError, RLError, ShapeError, SpecError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import ObservationNorm, VecNorm, VecNormV2


def _feed(norm, values):
    for value in values:
        td = norm._call(TensorDict({"x": torch.tensor([value])}))
    return td["x"].item()


def test_sequence():
    norm = VecNorm(in_keys=["x"], decay=1.0)
    # 1, 2: mean 1.5, population deviation 0.5
    assert _feed(norm, [1.0, 2.0]) == pytest.approx(1.0)
    # 1, 2, 4: mean 7/3, variance 14/9
    assert _feed(norm, [4.0]) == pytest.approx((4 - 7 / 3) / math.sqrt(14 / 9))


def test_decay_forgets():
    norm = VecNorm(in_keys=["x"], decay=0.9)
    # weights 0.9 and 1: mean 2.9 / 1.9, mean of squares 4.9 / 1.9
    mean = 2.9 / 1.9
    assert _feed(norm, [1.0, 2.0]) == pytest.approx(
        (2 - mean) / math.sqrt(4.9 / 1.9 - mean**2), 1e-4
    )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from([1.0, 0.99, 0.5]),
)
def test_equals_decayed_sums(batches, decay):
    norm = VecNorm(in_keys=["x"], decay=decay)
    total = square = count = 0.0
    for batch in batches:
        x = torch.tensor(batch, dtype=torch.float64)
        norm._call(TensorDict({"x": x.unsqueeze(-1)}, [len(batch)]))
        total = total * decay + x.sum().item()
        square = square * decay + x.square().sum().item()
        count = count * decay + len(batch)
    mean = total / count
    assert norm.loc["x"].item() == pytest.approx(mean, abs=1e-9)
    deviation = math.sqrt(max(square / count - mean**2, 0.0))
    assert norm.scale["x"].item() == pytest.approx(max(deviation, 1e-4), abs=1e-5)


def test_large_means_keep_their_deviation():
    norm = VecNorm(in_keys=["x"], decay=1.0)
    _feed(norm, [1e4, 1e4 + 1.0, 1e4 + 2.0])
    assert norm.scale["x"].item() == pytest.approx(math.sqrt(2 / 3), rel=1e-3)


def test_env_counts_the_reset(counting):
    norm = VecNorm(decay=1.0)  # observation and reward by default
    TransformedEnv(counting(), norm).rollout(4)
    assert norm.get_buffer("observation_count") == 5
    assert norm.get_buffer("reward_count") == 4
    torch.testing.assert_close(norm.loc["observation"], torch.tensor([2.0, 4.0, 6.0]))


def test_partial_reset_takes_the_reset_rows_only(counting):
    norm = VecNorm(in_keys=["observation"], decay=1.0)
    env = TransformedEnv(counting((3,)), norm)
    root = env.step_mdp(env.rand_step(env.reset()))  # 3 times 0, 3 times (1, 2, 3)
    env.reset(root.set("_reset", torch.tensor([[True], [False], [False]])))
    assert norm.get_buffer("observation_count") == 7
    torch.testing.assert_close(norm.loc["observation"], torch.tensor([1.0, 2.0, 3.0]) * 3 / 7)


def test_frozen_statistics_stand_still(counting):
    norm = VecNorm(in_keys=["observation"])
    env = TransformedEnv(counting(), norm)
    env.rollout(3)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.freeze()
    env.rollout(3)
    norm.unfreeze().eval()
    env.rollout(3)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())
    norm.train()
    env.rollout(3)
    assert norm.get_buffer("observation_count") > before["observation_count"]


def test_static_forms(counting):
    norm = VecNorm(in_keys=["observation", "reward"], out_keys=["o", "r"])
    env = TransformedEnv(counting(), norm)
    env.rollout(5)
    static = norm.to_observation_norm()
    assert isinstance(static, Compose)
    frozen = norm.frozen_copy()
    raw = TensorDict({"observation": torch.tensor([1.0, 5.0, 2.0]), "reward": torch.ones(1)})
    expected = frozen._call(raw.copy())
    torch.testing.assert_close(static(raw.copy())["o"], expected["o"])
    torch.testing.assert_close(static(raw.copy())["r"], expected["r"])
    torch.testing.assert_close(norm.denorm(expected.select("o"))["observation"], raw["observation"])
    one = VecNorm(in_keys=["x"])
    _feed(one, [1.0, 2.0])
    assert isinstance(one.to_observation_norm(), ObservationNorm)


def test_resume_is_exact(counting):
    first = VecNorm(in_keys=["observation"])
    TransformedEnv(counting(), first).rollout(3)
    second = VecNorm(in_keys=["observation"])  # has seen no data
    second.load_state_dict(first.state_dict())
    for norm in (first, second):
        TransformedEnv(counting(), norm.clone())
    data = [norm._call(TensorDict({"observation": torch.ones(3)})) for norm in (first, second)]
    assert torch.equal(data[0]["observation"], data[1]["observation"])
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))


def test_shared_statistics(counting):
    shared = VecNorm.build_td_for_shared_vecnorm(counting(), keys=["observation"])
    assert shared["observation_mean"].is_shared()
    lock = multiprocessing.Lock()
    norms = [VecNorm(in_keys=["observation"], shared_td=shared, lock=lock) for _ in range(2)]
    for norm in norms:
        TransformedEnv(counting(), norm).rollout(2)
    assert norms[0].get_buffer("observation_count") == norms[1].get_buffer("observation_count")
    assert shared["observation_count"] == pytest.approx(6, rel=1e-2)
    # a state that is loaded reaches every process
    norms[0].load_state_dict(
        {name: torch.ones_like(v) for name, v in norms[0].state_dict().items()}
    )
    assert norms[1].get_buffer("observation_count") == 1


def test_shapes_pool_leading_dims():
    norm = VecNorm(in_keys=["x"], shapes=[torch.Size([2])], decay=1.0)
    norm._call(TensorDict({"x": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}))
    torch.testing.assert_close(norm.loc["x"], torch.tensor([2.0, 3.0]))


def test_v2_is_the_same():
    assert _feed(VecNormV2(["x"], decay=1.0), [1.0, 2.0]) == pytest.approx(1.0)


def test_bad_input(counting):
    with pytest.raises(SpecError, match=r"give a number in \(0, 1\]"):
        VecNorm(decay=0.0)
    with pytest.raises(SpecError, match="give one per key"):
        VecNorm(in_keys=["a"], shapes=[])
    with pytest.raises(MissingKeyError, match="build_td_for_shared_vecnorm"):
        VecNorm(in_keys=["a"], shared_td=TensorDict())
    with pytest.raises(MissingKeyError, match="Did you mean `observation`"):
        TransformedEnv(counting(), VecNorm(in_keys=["observatio"]))
    with pytest.raises(ShapeError, match="correct `shapes`"):
        TransformedEnv(counting(), VecNorm(in_keys=["observation"], shapes=[(7,)]))
    with pytest.raises(MissingKeyError, match="`x`"):
        VecNorm(in_keys=["x"])(TensorDict())
    env = TransformedEnv(counting(), VecNorm(in_keys=["observation"]))
    with pytest.raises(RLError, match="run the env in training mode before"):
        env.transform.freeze()
    env.transform.eval()
    with pytest.raises(RLError, match="run the env in training mode before"):
        env.reset()
    with pytest.raises(RLError, match="no statistics"):
        VecNorm(in_keys=["x"]).to_observation_norm()
