"""A whole training in one `Checkpoint`: it goes on in the same bits, buffer and exploration too."""

from __future__ import annotations

import pytest
import torch
from tensordict.nn import TensorDictSequential
from torch import nn

from rl.core import (
    Actor,
    AdditiveGaussianModule,
    Bounded,
    Checkpoint,
    CheckpointError,
    CheckpointRotation,
    ConsistentDropoutModule,
    GlobalRNGState,
    OrnsteinUhlenbeckProcessModule,
    load_state,
)
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    RandomSampler,
    ReplayBuffer,
    TensorDictReplayBuffer,
)
from rl.envs import Collector, GymEnv, InitTracker, SerialEnv, TransformedEnv

TORQUE = Bounded(-2.0, 2.0, (1,))
BUFFERS = {
    "tensors": lambda: TensorDictReplayBuffer(
        storage=LazyTensorStorage(60), sampler=PrioritizedSampler(60, 0.7, 0.5), batch_size=16
    ),
    "memory maps": lambda: ReplayBuffer(storage=LazyMemmapStorage(60), batch_size=16),
    "own generator": lambda: ReplayBuffer(
        storage=LazyTensorStorage(60),
        sampler=RandomSampler(),
        batch_size=16,
        generator=torch.Generator().manual_seed(5),
    ),
}


def make_policy():
    actor = Actor(
        nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)),
        in_keys=["seen"],
        out_keys=["action"],
        spec=TORQUE,
    )
    dropout = ConsistentDropoutModule(0.2, ["observation"], ["seen"], input_shape=(3,))
    explore = OrnsteinUhlenbeckProcessModule(TORQUE, annealing_num_steps=300, sigma=0.8, dt=0.3)
    return TensorDictSequential(
        dropout, actor, explore, AdditiveGaussianModule(TORQUE, annealing_num_steps=300, std=0.1)
    )


class Training:
    """Collects with noise, fits the reward: no algorithm, but everything that one keeps."""

    def __init__(self, buffer, num_envs, seed):
        torch.manual_seed(seed)
        self.policy = make_policy()

        def env():
            return TransformedEnv(GymEnv("Pendulum-v1"), InitTracker())

        envs = env() if num_envs == 1 else SerialEnv(num_envs, env)
        self.collector = Collector(envs, self.policy, frames_per_batch=20)
        self.collector.set_seed(seed)
        self.optim = torch.optim.Adam(self.policy.parameters(), lr=1e-2)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optim, 2, gamma=0.7)
        self.buffer = buffer()
        self.progress = {"losses": []}
        self.checkpoint = Checkpoint(
            rng=GlobalRNGState(),
            policy=self.policy,
            optim=self.optim,
            scheduler=self.scheduler,
            buffer=self.buffer,
            collector=self.collector,
            progress=self.progress,
        )

    def run(self, iterations):
        for _ in range(iterations):
            data = self.collector.next()
            self.policy[2].step(20)
            self.policy[3].step(20)
            self.buffer.extend(data.reshape(-1))
            batch = self.buffer.sample()
            guess = self.policy[1](batch.select("seen"))["action"]
            loss = (guess - batch["next", "reward"]).square().mean()
            if isinstance(self.buffer, TensorDictReplayBuffer):
                batch["td_error"] = (guess - batch["next", "reward"]).detach().abs()
                self.buffer.update_tensordict_priority(batch)
            self.optim.zero_grad()
            loss.backward()
            self.optim.step()
            self.scheduler.step()
            self.progress["losses"].append(loss.item())


def differences(one, other, path=""):
    """Return the paths at which two states differ."""
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{path}: keys"]
        return [d for key in one for d in differences(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{path}: length"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}/{i}")]
    if hasattr(one, "batch_size"):
        return differences(one.to_dict(), other.to_dict(), path)
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [path]
    if hasattr(one, "tobytes"):
        return [] if one.tobytes() == other.tobytes() else [path]
    return [] if one == other or one != one else [path]


@pytest.mark.parametrize("container", ["directory", "archive"])
@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize("buffer", BUFFERS)
def test_a_training_goes_on_in_the_same_bits(buffer, num_envs, container, tmp_path):
    whole = Training(BUFFERS[buffer], num_envs, seed=0)
    whole.run(3)
    path = whole.checkpoint.save(tmp_path / "saved", format=container)
    whole.run(4)  # the buffer wraps around
    resumed = Training(BUFFERS[buffer], num_envs, seed=1)
    result = resumed.checkpoint.load(path)
    assert result.loaded == set(whole.checkpoint.components)
    assert result.manifest["components"]["buffer"]["adapter"] == "rl.dump_load"
    assert len(resumed.buffer) == 60
    resumed.run(4)
    assert resumed.progress == whole.progress
    expected, found = whole.checkpoint.state_dict(), resumed.checkpoint.state_dict()
    assert differences(expected, found) == []
    for training in (whole, resumed):
        training.collector.shutdown()


def filled(storage, n=10):
    buffer = ReplayBuffer(storage=storage, batch_size=4)
    buffer.extend(torch.arange(float(n)))
    return buffer


def test_rows_are_files_of_the_checkpoint(tmp_path):
    """They take no way through a state in memory: `state_dict` is not called."""
    buffer = filled(LazyTensorStorage(100))
    buffer.state_dict = None
    Checkpoint(buffer=buffer).save(tmp_path)
    (rows,) = tmp_path.glob("components-*/0000-buffer/rows-*")
    assert any(file.suffix == ".memmap" for file in rows.rglob("*"))
    assert load_state(tmp_path)["buffer"]["storage"]["rows"] == 10


@pytest.mark.parametrize("make", [LazyTensorStorage, LazyMemmapStorage, ListStorage])
def test_a_refusal_leaves_the_buffer_as_it_was(make, tmp_path):
    """The buffer is loaded, then another component refuses: the buffer gets its rows back."""

    class Refuses:
        def __init__(self, state):
            self.state = state

        def state_dict(self):
            return self.state

        def load_state_dict(self, state_dict):
            if state_dict:
                raise ValueError("no.")

    Checkpoint(buffer=filled(make(100), 10), other=Refuses({"x": 1})).save(tmp_path)
    empty, busy = ReplayBuffer(storage=make(100), batch_size=4), filled(make(100), 3)
    for buffer, rows in ((empty, []), (busy, [0.0, 1.0, 2.0])):
        with pytest.raises(CheckpointError, match="`other` refuses its saved state, nothing"):
            Checkpoint(buffer=buffer, other=Refuses({})).load(tmp_path)
        assert [float(buffer[i]) for i in range(len(buffer))] == rows
        assert len(buffer) == len(rows)


def test_another_buffer_is_refused_and_nothing_is_loaded(tmp_path):
    layer = nn.Linear(1, 1)
    Checkpoint(layer=layer, buffer=filled(LazyTensorStorage(100))).save(tmp_path)
    nn.init.constant_(layer.weight, 5.0)
    small = ReplayBuffer(storage=LazyTensorStorage(50))
    with pytest.raises(CheckpointError, match=r"`buffer` refuses.*max_size=100"):
        Checkpoint(layer=layer, buffer=small).load(tmp_path)
    assert layer.weight.item() == 5.0
    assert len(small) == 0


def test_a_policy_is_loaded_without_its_buffer(tmp_path):
    rotation = CheckpointRotation(tmp_path, keep_last=1, keep_best=("eval_return", "max"))
    layer, buffer = nn.Linear(1, 1), filled(LazyTensorStorage(100))
    for step, value in ((1, -3.0), (2, -9.0)):
        nn.init.constant_(layer.weight, value)
        checkpoint = Checkpoint(layer=layer, buffer=buffer)
        rotation.save(checkpoint, step=step, metadata={"eval_return": value})
    fresh = nn.Linear(1, 1)
    result = Checkpoint(policy=fresh).load(rotation.best(), strict="ignore")
    assert result.missing == {"policy"}
    result = Checkpoint(layer=fresh).load(rotation.best())
    assert (fresh.weight.item(), result.unrequested) == (-3.0, {"buffer"})
