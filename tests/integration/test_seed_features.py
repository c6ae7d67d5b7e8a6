"""The front-page examples of the reference, run on our wheels after changing only their imports."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core import (
    MLP,
    ActorValueOperator,
    ConvNet,
    EGreedyWrapper,
    ExplorationType,
    NormalParamsWrapper,
    OneHot,
    QValueActor,
    SafeModule,
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
    TanhNormal,
    set_exploration_type,
)
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    TensorDictPrioritizedReplayBuffer,
    TensorDictReplayBuffer,
)
from rl.envs import (
    Collector,
    Compose,
    GymEnv,
    NoopResetEnv,
    ObservationNorm,
    ParallelEnv,
    ToTensorImage,
    TransformedEnv,
)
from rl.objectives import DQNLoss, HardUpdate
from rl.objectives.value.functional import vec_td_lambda_return_estimate


def pixels_env() -> GymEnv:
    return GymEnv("Pendulum-v1", from_pixels=True)


@pytest.fixture
def env_parallel():
    env = ParallelEnv(4, lambda: GymEnv("Pendulum-v1", from_pixels=True))
    yield env
    env.close()


def test_parallel_env_random_rollout(env_parallel):
    tensordict = env_parallel.rollout(max_steps=20, policy=None)
    assert tensordict.shape == torch.Size([4, 20])
    assert env_parallel.action_spec.is_in(tensordict["action"][:, 0])
    assert tensordict["pixels"].dtype == torch.uint8


def test_transforms_over_a_parallel_env():
    env_make = lambda: GymEnv("Pendulum-v1", from_pixels=True)  # noqa: E731 (the example's form)
    env_base = ParallelEnv(4, env_make, device="cpu")
    env = TransformedEnv(env_base, Compose(ToTensorImage(), ObservationNorm(loc=0.5, scale=1.0)))
    try:
        tensordict = env.reset()
        assert tensordict.device == torch.device("cpu")
        assert tensordict["pixels"].shape[:2] == torch.Size([4, 3])
        env.insert_transform(0, NoopResetEnv())
        transform = env.transform[1]
        parent_env = transform.parent
        assert isinstance(parent_env.transform[0], NoopResetEnv)
    finally:
        env.close()


def test_prioritized_buffer(tmp_path):
    storage = LazyMemmapStorage(1000, scratch_dir=tmp_path)
    buffer = TensorDictPrioritizedReplayBuffer(
        alpha=0.7,
        beta=0.5,
        collate_fn=lambda x: x,
        pin_memory=False,
        prefetch=10,
        storage=storage,
        batch_size=32,
    )
    collector = Collector(GymEnv("CartPole-v1"), frames_per_batch=100, total_frames=100)
    for batch in collector:
        buffer.extend(batch)
    sample = buffer.sample()
    assert sample.shape == torch.Size([32])
    sample["td_error"] = torch.rand(32)
    buffer.update_tensordict_priority(sample)


def test_actor_value_operator():
    common_module = ConvNet(
        bias_last_layer=True,
        depth=None,
        num_cells=[32, 64, 64],
        kernel_sizes=[8, 4, 3],
        strides=[4, 2, 1],
    )
    common_module = SafeModule(common_module, in_keys=["pixels"], out_keys=["hidden"])
    policy_module = SafeModule(
        NormalParamsWrapper(MLP(num_cells=[64, 64], out_features=32, activation=nn.ELU)),
        in_keys=["hidden"],
        out_keys=["loc", "scale"],
    )
    policy_module = SafeProbabilisticTensorDictSequential(
        policy_module,
        SafeProbabilisticModule(
            in_keys=["loc", "scale"], out_keys="action", distribution_class=TanhNormal
        ),
    )
    value_module = MLP(num_cells=[64, 64], out_features=1, activation=nn.ELU)
    actor_value = ActorValueOperator(common_module, policy_module, value_module)
    standalone_policy = actor_value.get_policy_operator()
    out = standalone_policy(TensorDict({"pixels": torch.rand(2, 3, 84, 84)}, [2]))
    assert out["action"].shape == torch.Size([2, 16])
    out = actor_value(TensorDict({"pixels": torch.rand(2, 3, 84, 84)}, [2]))
    assert out["state_value"].shape == torch.Size([2, 1])


def test_exploration_wrapper():
    spec = OneHot(4)
    policy = QValueActor(MLP(in_features=3, out_features=4, num_cells=[8]), spec=spec)
    policy_explore = EGreedyWrapper(policy)
    tensordict = TensorDict({"observation": torch.zeros(64, 3)}, [64])
    with set_exploration_type(ExplorationType.RANDOM):
        explored = policy_explore(tensordict.clone())["action"]
    with set_exploration_type(ExplorationType.DETERMINISTIC):
        greedy = policy_explore(tensordict.clone())["action"]
    assert (greedy == greedy[0]).all()
    assert len(explored.argmax(-1).unique()) > 1


def test_dqn_loss_on_a_sample():
    env = GymEnv("CartPole-v1")
    value_network = QValueActor(
        MLP(in_features=4, out_features=2, num_cells=[16]), spec=env.action_spec
    )
    replay_buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(1000))
    replay_buffer.extend(env.rollout(64, break_when_any_done=False))
    loss_module = DQNLoss(value_network=value_network, gamma=0.99, delay_value=True)
    updater = HardUpdate(loss_module, value_network_update_interval=10)
    loss_module.make_value_estimator(gamma=0.99)
    loss = loss_module(replay_buffer.sample(32))["loss"]
    loss.backward()
    updater.step()
    assert all(p.grad is not None for p in loss_module.parameters())


def test_td_lambda_return():
    reward = torch.ones(1, 3, 1)
    done = torch.tensor([False, False, True]).reshape(1, 3, 1)
    target = vec_td_lambda_return_estimate(0.5, 1.0, torch.zeros(1, 3, 1), reward, done, done)
    assert target.flatten().tolist() == pytest.approx([1.75, 1.5, 1.0])
