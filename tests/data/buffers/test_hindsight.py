import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import MissingKeyError, ShapeError, SpecError
from rl.data import (
    HERReplayBuffer,
    HindsightStrategy,
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    SamplerWithoutReplacement,
)
from rl.data.testing import check_buffer

STRATEGIES = ["future", "final", "episode", "random"]


def walk(done, *, start=0):
    """Return steps of an agent that is at `t` before step t and at `t + 0.5` after it.

    The goal is never reached, so that every reward is -1.
    """
    done = torch.tensor(done, dtype=torch.bool)
    at = (torch.arange(done.shape[-1]) + start).double().expand(done.shape).unsqueeze(-1)
    goal, flag = torch.full_like(at, -100.0), done.unsqueeze(-1)
    step = {"achieved_goal": at + 0.5, "desired_goal": goal, "reward": at * 0 - 1, "done": flag}
    return TensorDict({"achieved_goal": at, "desired_goal": goal, "next": step}, done.shape)


def sparse(td):
    """0 where the state reached is the goal, else -1."""
    return (td["next", "achieved_goal"] == td["desired_goal"]).double() - 1


def buffer(strategy="future", size=50, ratio=1.0, ndim=1, batch_size=64, storage=None, **kwargs):
    return HERReplayBuffer(
        sparse,
        her_ratio=ratio,
        strategy=strategy,
        storage=LazyTensorStorage(size, ndim=ndim) if storage is None else storage,
        batch_size=batch_size,
        **kwargs,
    )


def told(batch):
    """Return the set of (state, goal, reward) of a batch."""
    parts = (batch["achieved_goal"], batch["desired_goal"], batch["next", "reward"])
    return set(zip(*(part.flatten().tolist() for part in parts), strict=True))


def test_final_by_hand():
    """Two episodes, of three steps and of two that go on: they end at 2.5 and at 4.5."""
    rb = buffer("final", sampler=SamplerWithoutReplacement())
    rb.extend(walk([0, 0, 1, 0, 0]))
    batch = rb.sample()
    assert told(batch) == {(0, 2.5, -1), (1, 2.5, -1), (2, 2.5, 0), (3, 4.5, -1), (4, 4.5, 0)}
    assert torch.equal(batch["next", "desired_goal"], batch["desired_goal"])
    assert rb.storage[:]["desired_goal"].eq(-100).all(), "the rows changed"
    assert "_hindsight" not in batch


def test_future_and_episode_by_hand():
    rb = buffer("future", batch_size=400)
    rb.extend(walk([0, 0, 1, 0, 0]))
    later = {0: [0, 1, 2], 1: [1, 2], 2: [2], 3: [3, 4], 4: [4]}
    wanted = {(t, j + 0.5, -1 + (j == t)) for t, goals in later.items() for j in goals}
    assert told(rb.sample()) == wanted
    rb = buffer(HindsightStrategy.EPISODE, batch_size=400)
    rb.extend(walk([0, 0, 1, 0, 0]))
    episodes = ([0, 1, 2], [3, 4])
    wanted = {(t, j + 0.5, -1 + (j == t)) for e in episodes for t in e for j in e}
    assert told(rb.sample()) == wanted


def test_future_goals_are_uniform():
    rb = buffer("future", batch_size=6000, sampler=PrioritizedSampler(50, 1.0, 1.0, eps=0))
    rb.extend(walk([0, 0, 1]))
    rb.update_priority(torch.arange(3), torch.tensor([1.0, 0, 0]))
    goals = rb.sample()["desired_goal"].flatten()
    for goal in (0.5, 1.5, 2.5):
        assert abs((goals == goal).double().mean() - 1 / 3) < 0.03


def test_random_takes_any_state():
    rb = buffer("random", batch_size=800)
    rb.extend(walk([0, 1, 0]))
    assert {(s, g) for s, g, _ in told(rb.sample())} == {
        (t, j + 0.5) for t in range(3) for j in range(3)
    }


@settings(deadline=None)
@given(
    st.sampled_from(STRATEGIES),
    st.lists(st.integers(0, 4).map(lambda k: k == 0), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(1, 2),
)
def test_goals_stay_within_the_episode_after_wrap_around(strategy, done, chunk, ndim):
    envs = 2 if ndim == 2 else 1
    rb = buffer(strategy, size=9 * envs, ndim=ndim)
    data = torch.stack([walk(done, start=1000 * env) for env in range(envs)])
    data = data if ndim == 2 else data[0]
    episode = torch.tensor([0, *done[:-1]]).cumsum(0).tolist()
    for start in range(0, len(done), chunk):
        rb.extend(data[..., start : start + chunk])
        newest = min(start + chunk, len(done)) - 1
        for state, goal, reward in told(rb.sample()):
            (env, t), (goal_env, j) = divmod(int(state), 1000), divmod(int(goal), 1000)
            assert reward == (0 if (env, t) == (goal_env, j) else -1)
            assert max(0, newest - 8) <= j <= newest, "not stored"
            if strategy == "random":
                continue
            assert (env, episode[t]) == (goal_env, episode[j])
            if strategy != "episode":
                assert j >= t
            if strategy == "final":
                assert done[j] or j == newest


def test_ratio():
    rb = buffer(ratio=0.25, batch_size=40)
    rb.extend(walk([0, 0, 1, 0, 0]))
    batch = rb.sample()
    other = batch["desired_goal"].ne(-100).flatten()
    assert other.sum() == 10
    assert batch["next", "reward"][~other].eq(-1).all()
    rb.her_ratio = 0.0
    assert rb.sample()["desired_goal"].eq(-100).all()


def test_keys_and_a_reward_without_trailing_dimension():
    data = walk([0, 1])
    data = TensorDict({"obs": {"goal": data["desired_goal"], "got": data["achieved_goal"]}}, [2])
    data["next"] = {"r": torch.zeros(2, 1), "over": torch.tensor([[False], [True]])}
    rb = HERReplayBuffer(
        lambda td: td["obs", "goal"].squeeze(-1) + 7,
        her_ratio=1.0,
        strategy="final",
        goal_key=("obs", "goal"),
        achieved_goal_key=("obs", "got"),
        reward_key=("next", "r"),
        end_key=("next", "over"),
        storage=LazyTensorStorage(5),
        batch_size=3,
    )
    rb.extend(data)
    batch = rb.sample()
    # the state after the last step is not stored: the last one at the root stands for it
    assert batch["obs", "goal"].eq(1).all()
    assert batch["next", "r"].tolist() == [[8]] * 3


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("storage", [LazyTensorStorage, LazyMemmapStorage, ListStorage])
def test_the_kit_of_buffers(strategy, storage):
    """Same random state, same goals; prefetching changes no goal; a saved buffer goes on."""
    start = iter(range(0, 10_000, 100))
    check_buffer(
        lambda generator, prefetch: HERReplayBuffer(
            sparse,
            strategy=strategy,
            storage=storage(12),
            sampler=PrioritizedSampler(12, 0.7, 0.5),
            batch_size=6,
            generator=generator,
            prefetch=prefetch,
        ),
        lambda n: walk((torch.rand(n) < 0.3).tolist(), start=next(start)),
    )


def test_flags_end_episodes_beside_ids():
    rb = buffer("final", sampler=SamplerWithoutReplacement())
    data = walk([0, 1, 0, 0])
    data["collector", "traj_ids"] = torch.tensor([0, 0, 0, 1])
    rb.extend(data)
    assert {(s, g) for s, g, _ in told(rb.sample())} == {(0, 1.5), (1, 1.5), (2, 2.5), (3, 3.5)}


def test_flags_that_are_overwritten():
    def goals():
        return {(s, g) for s, g, _ in told(rb.sample())}

    rb = buffer("final", sampler=SamplerWithoutReplacement())
    rb.extend(walk([0, 0, 0]))
    assert goals() == {(0, 2.5), (1, 2.5), (2, 2.5)}
    rb[:1] = walk([1])
    assert goals() == {(0, 0.5), (1, 2.5), (2, 2.5)}
    rb.set_(("next", "done"), torch.tensor([[False], [True], [False]]))
    assert goals() == {(0, 1.5), (1, 1.5), (2, 2.5)}
    rb.storage[:]["next", "done"][:] = False
    rb.mark_update(torch.tensor([0, 1]))
    assert goals() == {(0, 2.5), (1, 2.5), (2, 2.5)}


def test_goals_of_a_shared_buffer_copied_and_emptied_ones():
    rb = buffer("final", storage=LazyTensorStorage(9, shared_init=True), shared=True)
    rb.extend(walk([0, 1]))
    rb.sample()
    rb.extend(walk([0, 0, 0], start=7))
    assert {g for _, g, _ in told(rb.sample())} == {1.5, 9.5}
    other = copy.deepcopy(rb)
    other.extend(walk([1], start=10))
    assert {g for _, g, _ in told(other.sample())} == {1.5, 10.5}
    assert {g for _, g, _ in told(rb.sample())} == {1.5, 9.5}
    rb.empty()
    rb.extend(walk([0, 0], start=20))
    assert {g for _, g, _ in told(rb.sample())} == {21.5}


def test_prefetching_helps():
    rb = buffer(prefetch=3)
    rb.extend(walk([0, 0, 1]))
    for _ in range(5):
        rb.sample()
    assert rb._prefetcher.hits > 0
    rb.shutdown()


def test_bad_input():
    with pytest.raises(SpecError, match="a share from 0 to 1"):
        buffer(ratio=1.5)
    with pytest.raises(SpecError, match="Did you mean `future`"):
        buffer("futur")
    rb = buffer()
    rb.extend(walk([0, 1]).exclude("desired_goal"))
    with pytest.raises(MissingKeyError, match="Pass `goal_key="):
        rb.sample()
    rb = buffer()
    rb.extend(walk([0, 1]).set("desired_goal", torch.zeros(2, 3)))
    with pytest.raises(ShapeError, match="an achieved state of the same kind"):
        rb.sample()
    rb = buffer()
    rb.reward_fn = lambda td: torch.zeros(len(td), 2)
    rb.extend(walk([0, 1]))
    with pytest.raises(ShapeError, match="one reward per transition"):
        rb.sample()
    rb = buffer()
    rb.extend(walk([0, 1]).exclude(("next", "done")))
    with pytest.raises(MissingKeyError, match=r"done.*tell trajectories apart"):
        rb.sample()
