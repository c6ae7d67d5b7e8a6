import pytest
import torch
from tensordict import TensorDict

from rl.core import Bounded, Compose, Composite, MissingKeyError, RLError, SpecError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import (
    InitTracker,
    NoopResetEnv,
    ObservationNorm,
    RewardSum,
    StepCounter,
    ToTensorImage,
)


@pytest.mark.parametrize(
    ("standard_normal", "forward", "inverse"), [(True, 1.0, 7.0), (False, 7.0, 1.0)]
)
def test_formulas(standard_normal, forward, inverse):
    norm = ObservationNorm(
        1.0, 2.0, in_keys=["o"], in_keys_inv=["a"], standard_normal=standard_normal
    )
    data = TensorDict({"o": torch.tensor([3.0]), "a": torch.tensor([3.0])})
    assert norm.inv(data)["a"].item() == inverse
    assert norm(data)["o"].item() == forward


def test_bounds_follow():
    spec = Composite(o=Bounded(-1.0, 1.0, (1,)))
    low_high = lambda norm: norm.transform_observation_spec(spec.clone())["o"].space  # noqa: E731
    space = low_high(ObservationNorm(1.0, 2.0, in_keys=["o"]))
    assert (space.low.item(), space.high.item()) == (-1, 3)
    space = low_high(ObservationNorm(1.0, -2.0, in_keys=["o"]))
    assert (space.low.item(), space.high.item()) == (-1, 3)
    space = low_high(ObservationNorm(1.0, 2.0, in_keys=["o"], standard_normal=True))
    assert (space.low.item(), space.high.item()) == (-1, 0)


def test_default_is_every_float_observation(counting):
    env = TransformedEnv(counting(), ObservationNorm(loc=1.0, scale=2.0))
    assert set(env.transform.in_keys) == {"observation", "position", "double", ("nested", "value")}
    assert env.reset()["observation"].tolist() == [1, 1, 1]
    assert env.reset()["pixels"].dtype == torch.uint8


def test_front_page_example(counting):
    env = TransformedEnv(
        counting((4,)), Compose(ToTensorImage(), ObservationNorm(loc=0.5, scale=1.0))
    )
    env.insert_transform(0, NoopResetEnv())
    pixels = env.reset()["pixels"]
    assert pixels.shape == (4, 3, 8, 6)
    assert pixels.min() >= 0.5
    assert env.transform[1].parent.observation_spec["pixels"].dtype == torch.uint8


def test_what_a_step_reads_back_stays_as_it_is(counting):
    chain = Compose(StepCounter(), RewardSum(), InitTracker(), ObservationNorm(1.0, 2.0))
    data = TransformedEnv(counting((2,)), chain).rollout(3)
    assert data["step_count"][0].flatten().tolist() == [0, 1, 2]
    assert data["next", "episode_reward"][0].flatten().tolist() == [1, 3, 6]
    assert data["observation"][0, :, 0].tolist() == [1, 3, 5]


def test_eps_bounds_the_scale():
    norm = ObservationNorm(0.0, 0.0, in_keys=["o"], standard_normal=True, eps=0.5)
    assert norm(TensorDict({"o": torch.ones(1)}))["o"].item() == 2


@pytest.mark.parametrize("standard_normal", [True, False])
def test_init_stats(counting, standard_normal):
    norm = ObservationNorm(in_keys=["observation"], standard_normal=standard_normal)
    env = TransformedEnv(counting(), norm)
    norm.init_stats(num_iter=3)  # observations 0, 1, 2 times (1, 2, 3)
    mean, std = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(norm.loc, mean if standard_normal else -mean / std)
    torch.testing.assert_close(norm.scale, std if standard_normal else 1 / std)
    data = env.rollout(3)["observation"]
    torch.testing.assert_close(data[:, 0], torch.tensor([-1.0, 0.0, 1.0]))


def test_init_stats_over_a_batch_and_channels(counting):
    norm = ObservationNorm(in_keys=["pixels"], standard_normal=True)
    TransformedEnv(counting((2,)), Compose(ToTensorImage(), norm))
    norm.init_stats(num_iter=4, reduce_dim=(0, 1, -1, -2), cat_dim=1, keep_dims=(-1, -2))
    assert norm.loc.shape == (3, 1, 1)
    # channel k is 10 c + k over steps 0..3
    expected = torch.tensor([15.0, 16.0, 17.0]) / 255
    torch.testing.assert_close(norm.loc.flatten(), expected)


def test_init_stats_joins_short_episodes(counting):
    norm = ObservationNorm(in_keys=["observation"], standard_normal=True)
    TransformedEnv(counting(length=2), norm)
    norm.init_stats(num_iter=4)
    torch.testing.assert_close(norm.loc, torch.tensor([0.5, 1.0, 1.5]))


def test_state_reaches_a_fresh_transform():
    norm, fresh = ObservationNorm(1.0, 2.0, in_keys=["o"]), ObservationNorm(in_keys=["o"])
    fresh.load_state_dict(norm.state_dict())
    assert fresh(TensorDict({"o": torch.ones(1)}))["o"].item() == 3


def test_uninitialised_use(counting):
    env = TransformedEnv(counting(), ObservationNorm(in_keys=["observation"]))
    with pytest.raises(RLError, match="init_stats"):
        env.reset()
    with pytest.raises(RLError, match="init_stats"):
        ObservationNorm(in_keys_inv=["o"]).inv(TensorDict({"o": torch.ones(1)}))


def test_bad_input(counting):
    with pytest.raises(SpecError, match="give both, or neither"):
        ObservationNorm(loc=1.0)
    with pytest.raises(RLError, match=r"pass `in_keys=\[\.\.\.\]`"):
        ObservationNorm(0.0, 1.0)(TensorDict({"o": torch.ones(1)}))
    with pytest.raises(MissingKeyError, match="Did you mean `observation`"):
        TransformedEnv(counting(), ObservationNorm(0.0, 1.0, in_keys=["observations"]))
    with pytest.raises(RLError, match="make a new one to measure again"):
        ObservationNorm(0.0, 1.0, in_keys=["o"]).init_stats(3)
    with pytest.raises(RLError, match="add the transform to a `TransformedEnv` first"):
        ObservationNorm(in_keys=["o"]).init_stats(3)
    norm = ObservationNorm(in_keys=["observation", "position"])
    TransformedEnv(counting(), norm)
    with pytest.raises(SpecError, match="pass `key=`"):
        norm.init_stats(3)
    with pytest.raises(RLError, match="take more than one step"):
        norm.init_stats(1, key="observation")
    with pytest.raises(SpecError, match="add them to `reduce_dim"):
        norm.init_stats(3, key="observation", reduce_dim=0, keep_dims=(-1,))
