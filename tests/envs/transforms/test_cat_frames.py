import pytest
import torch
from tensordict import TensorDict

from rl.core import Compose, MissingKeyError, RLError, ShapeError, SpecError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import CatFrames, ObservationNorm

STORED = ["observation", ("next", "observation")]


def test_windows(counting):
    env = TransformedEnv(counting(), CatFrames(3, -1, in_keys=["observation"], out_keys=["s"]))
    first = env.rollout(4)["s"].unflatten(-1, (3, 3))[..., 0]
    assert first.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]


def test_constant_padding(counting):
    stack = CatFrames(
        3, -1, in_keys=["position"], out_keys=["s"], padding="constant", padding_value=-7
    )
    env = TransformedEnv(counting(), stack)
    assert env.reset()["s"].tolist() == [-7, -7, -7, -7, 0, 0]
    assert env.observation_spec["s"].space.low[0] == -7


def test_partial_reset_and_partial_step(counting):
    env = TransformedEnv(counting((2,)), CatFrames(2, -1, in_keys=["observation"], out_keys=["s"]))
    root = env.reset()
    for _ in range(2):
        root = env.step_mdp(env.rand_step(root))
    root = env.reset(root.set("_reset", torch.tensor([[True], [False]])))
    frames = root["s"].unflatten(-1, (2, 3))[..., 0]
    assert frames.tolist() == [[0, 0], [1, 2]]
    # rows that are not stepped keep their frames
    after = TensorDict({"observation": torch.full((2, 3), 9.0)}, [2])
    after = env.transform._step(root.set("_step", torch.tensor([False, True])), after)
    assert after["s"].unflatten(-1, (2, 3))[..., 0].tolist() == [[0, 0], [2, 9]]


def test_a_transform_outside_does_not_enter_the_frames(counting):
    chain = Compose(
        CatFrames(2, -1, in_keys=["observation"]),
        ObservationNorm(100.0, 1.0, in_keys=["observation"]),
    )
    frames = TransformedEnv(counting(), chain).rollout(3)["observation"]
    assert frames[-1].tolist() == [101, 102, 103, 102, 104, 106]


def test_resume_in_the_middle_of_an_episode(counting):
    def make():
        return TransformedEnv(counting(), CatFrames(3, -1, in_keys=["observation"]))

    env, other = make(), make()
    root = env.step_mdp(env.rand_step(env.reset()))
    other.transform.load_state_dict(env.transform.state_dict())
    after = other.transform._step(root, TensorDict({"observation": torch.full((3,), 9.0)}))
    assert after["observation"].tolist() == [0, 0, 0, 1, 2, 3, 9, 9, 9]


@pytest.mark.parametrize("padding", ["same", "constant"])
@pytest.mark.parametrize("batch_size", [(), (2,)])
def test_stored_data_gives_what_the_env_gives(counting, padding, batch_size):
    online = CatFrames(3, -1, in_keys=["observation"], out_keys=["s"], padding=padding)
    data = TransformedEnv(counting(batch_size, length=3), online).rollout(
        8, break_when_any_done=False
    )
    raw = data.exclude("s", ("next", "s"))
    stored = CatFrames(3, -1, in_keys=STORED, out_keys=["s", ("next", "s")], padding=padding)
    again = stored(raw.copy())
    for key in ("s", ("next", "s")):
        torch.testing.assert_close(again[key], data[key])
    inverse = CatFrames(
        3, -1, in_keys=STORED, out_keys=["s", ("next", "s")], padding=padding, as_inverse=True
    )
    assert inverse(raw.copy()).keys() == raw.keys()
    torch.testing.assert_close(inverse.inv(raw)["next", "s"], data["next", "s"])


def test_future_windows_and_mask():
    data = TensorDict(
        {
            "x": torch.arange(4.0).unsqueeze(-1),
            "next": {"done": torch.tensor([[False], [True], [False], [False]])},
        },
        [4],
    )
    stack = CatFrames(3, -1, in_keys=["x"], out_keys=["s"], future=True, mask_key="pad")
    data = stack(data)
    assert data["s"].tolist() == [[0, 1, 1], [1, 1, 1], [2, 3, 3], [3, 3, 3]]
    assert data["pad"].tolist() == [
        [False, False, True],
        [False, True, True],
        [False, False, True],
        [False, True, True],
    ]


def test_bad_input(counting):
    with pytest.raises(SpecError, match="count it from the end"):
        CatFrames(3, 0)
    with pytest.raises(SpecError, match="at least one frame"):
        CatFrames(0, -1)
    with pytest.raises(SpecError, match='give "same" or "constant"'):
        CatFrames(2, -1, padding="zero")
    with pytest.raises(MissingKeyError, match="Did you mean `observation`"):
        TransformedEnv(counting(), CatFrames(2, -1, in_keys=["observatoin"]))
    with pytest.raises(RLError, match="stored data only"):
        TransformedEnv(counting(), CatFrames(2, -1, in_keys=["observation"], future=True))
    with pytest.raises(RLError, match=r"call `env.reset\(\)` first"):
        CatFrames(2, -1, in_keys=["x"])._step(TensorDict(), TensorDict({"x": torch.ones(1)}))
    stack = CatFrames(2, -1, in_keys=["x"])
    with pytest.raises(ShapeError, match="sample slices"):
        stack(TensorDict({"x": torch.ones(1)}))
    with pytest.raises(MissingKeyError, match="done"):
        stack(TensorDict({"x": torch.ones(2, 1)}, [2]))
    with pytest.raises(MissingKeyError, match="`x`"):
        stack(TensorDict({"done": torch.ones(2, 1)}, [2]))
