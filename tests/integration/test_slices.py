"""Slices of collected trajectories: recurrent policies and advantages over them."""

import pytest
import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn

from rl.core import LSTMModule, OneHotCategorical, ProbabilisticActor, set_recurrent_mode
from rl.data import LazyTensorStorage, SliceSampler, TensorDictReplayBuffer
from rl.envs import SerialEnv, SingleCollector
from rl.envs.testing import CountingEnv
from rl.objectives.value import GAE


@pytest.fixture
def actor():
    torch.manual_seed(0)
    memory = LSTMModule(1, 8, in_key="observation", out_key="features")
    head = TensorDictModule(nn.Linear(8, 2), ["features"], ["logits"])
    return ProbabilisticActor(
        TensorDictSequential(memory, head),
        in_keys=["logits"],
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )


@pytest.fixture(params=[{}, {"strict_length": False}, {"strict_length": False, "pad_output": True}])
def buffer(actor, request):
    """A buffer of two envs whose rows wrapped around."""
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(2 * 17, ndim=2),
        sampler=SliceSampler(slice_len=4, **request.param),
        batch_size=4 * 32,
        generator=torch.Generator().manual_seed(0),
    )
    env = SerialEnv(2, [lambda: CountingEnv(7), lambda: CountingEnv(3)])
    collector = SingleCollector(env, actor, frames_per_batch=20, total_frames=100)
    for batch in collector:
        rb.extend(batch)
    env.close()
    return rb


def test_a_slice_runs_as_it_was_collected(actor, buffer):
    """From the state stored at its first step, whatever was before it in the batch."""
    for _ in range(5):
        batch = buffer.sample()
        inputs = batch.select("observation", "is_init", *actor.module[0][0].in_keys)
        with torch.no_grad(), set_recurrent_mode(True):
            again = actor(inputs.clone())
        mask = batch.get(("collector", "mask"), torch.ones(len(batch), dtype=torch.bool))
        expected = batch["logits"][mask]
        torch.testing.assert_close(again["logits"][mask], expected, atol=1e-5, rtol=1e-5)
        if len(batch) == 4 * 32:
            with torch.no_grad(), set_recurrent_mode(True):
                stacked = actor(inputs.reshape(32, 4))
            stacked = stacked["logits"].reshape(128, 2)[mask]
            torch.testing.assert_close(stacked, expected, atol=1e-5, rtol=1e-5)


def test_advantages_end_with_the_slice(buffer):
    value = TensorDictModule(nn.Linear(1, 1), ["observation"], ["state_value"])
    estimator = GAE(gamma=0.9, lmbda=0.8, value_network=value)
    batch = estimator(buffer.sample())
    with torch.no_grad():
        v = value.module(batch["observation"]).flatten().tolist()
        following = value.module(batch["next", "observation"]).flatten().tolist()
    reward = batch["next", "reward"].flatten().tolist()
    done, terminated = (batch["next", k].flatten().tolist() for k in ("done", "terminated"))
    carry, expected = 0.0, [0.0] * len(v)
    for t in reversed(range(len(v))):
        delta = reward[t] + 0.9 * following[t] * (not terminated[t]) - v[t]
        carry = delta + 0.9 * 0.8 * (0.0 if done[t] else carry)
        expected[t] = carry
    found = batch["advantage"].flatten()
    mask = batch.get(("collector", "mask"), torch.ones(len(v), dtype=torch.bool))
    torch.testing.assert_close(found[mask], torch.tensor(expected)[mask], atol=1e-5, rtol=1e-5)
    # nothing is carried from one slice into the one before it
    ends = batch["next", "truncated"].flatten()
    after = 0.9 * torch.tensor(following) * ~torch.tensor(terminated)
    last = torch.tensor(reward) + after - torch.tensor(v)
    torch.testing.assert_close(found[ends], last[ends], atol=1e-5, rtol=1e-5)


def test_slices_keep_to_their_env_and_trajectory(buffer):
    batch = buffer.sample()
    ids = batch["collector", "traj_ids"]
    mask = batch.get(("collector", "mask"), torch.ones(len(ids), dtype=torch.bool))
    first, env = batch["is_init"].flatten(), batch["index"][:, 1]
    same = ~first[1:] & mask[1:]
    assert torch.equal(ids[1:][same], ids[:-1][same])
    assert torch.equal(env[1:][same], env[:-1][same])
    assert (batch["observation"].flatten().diff()[same] == 1).all()
