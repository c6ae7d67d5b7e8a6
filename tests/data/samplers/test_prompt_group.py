import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import MissingKeyError
from rl.data import LazyStackStorage, LazyTensorStorage, PromptGroupSampler, ReplayBuffer
from rl.data.samplers.prompt_group import _most_varied

PROMPTS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])
REWARDS = torch.tensor([1.0, 5, 3, 2, 9, 9, 1, 4, 7])


def make(storage=None, batch_size=4, size=100, **kwargs):
    rb = ReplayBuffer(
        storage=storage or LazyTensorStorage(size),
        sampler=PromptGroupSampler(group_key="prompt", **kwargs),
        batch_size=batch_size,
    )
    rb.extend(TensorDict({"prompt": PROMPTS, "next": {"reward": REWARDS[:, None]}}, [len(PROMPTS)]))
    return rb


@pytest.mark.parametrize("kwargs", [{"num_groups": 2}, {"samples_per_group": 2}])
def test_a_batch_is_made_of_whole_groups(kwargs):
    rb = make(**kwargs)
    for _ in range(20):
        data, info = rb.sample(return_info=True)
        groups = data["prompt"].reshape(2, 2)
        assert (groups[:, 0] == groups[:, 1]).all()
        assert groups[0, 0] != groups[1, 0]
        assert len(set(info["index"].tolist())) == 4


@pytest.mark.parametrize(
    ("strategy", "rewards"),
    [
        ("recency", {0: [3, 2], 1: [9, 1], 2: [4, 7]}),
        ("reward", {0: [5, 3], 1: [9, 9], 2: [7, 4]}),
        ("variance", {0: [1, 5], 1: [1, 9], 2: [4, 7]}),
    ],
)
def test_strategies(strategy, rewards):
    rb = make(num_groups=3, batch_size=6, strategy=strategy)
    batch = rb.sample()
    for prompt, reward in zip(
        batch["prompt"].reshape(3, 2), batch["next", "reward"].reshape(3, 2), strict=True
    ):
        assert reward.tolist() == rewards[int(prompt[0])]


@settings(max_examples=40, deadline=None)
@given(rewards=st.lists(st.integers(0, 5), min_size=1, max_size=7), size=st.integers(1, 7))
def test_the_most_varied_set_is_that_of_a_search(rewards, size):
    reward = torch.tensor(rewards).double()
    size = min(size, len(rewards))

    def score(rows):
        chosen = reward[list(rows)]
        return round(float(chosen.var(correction=0)), 9), float(chosen.sum())

    found = _most_varied(torch.arange(len(rewards)), reward, size)
    assert len(set(found.tolist())) == size
    best = max(map(score, itertools.combinations(range(len(rewards)), size)))
    assert score(found.tolist()) == best


def test_recency_is_that_of_writing_after_a_wrap():
    rb = make(num_groups=3, batch_size=3, strategy="recency", size=9)
    rb.extend(TensorDict({"prompt": torch.tensor([2]), "next": {"reward": torch.ones(1, 1)}}, [1]))
    batch, info = rb.sample(return_info=True)
    assert info["index"][batch["prompt"] == 2].tolist() == [0]


def test_text_in_a_stack():
    rb = ReplayBuffer(
        storage=LazyStackStorage(9), sampler=PromptGroupSampler(num_groups=1), batch_size=2
    )
    for text, n in (("why", 2), ("how", 3), ("why", 5)):
        rb.add(TensorDict({"query": text, "tokens": torch.arange(n)}))
    with pytest.warns(UserWarning, match="drawn twice"):
        texts = [set(rb.sample()["query"]) for _ in range(12)]
    assert all(len(found) == 1 for found in texts)
    assert set.union(*texts) == {"why", "how"}


def test_groups_are_found_again_after_a_write_or_always():
    rb = make(num_groups=1, batch_size=1)
    rb.sample()
    rb.storage[:]["prompt"].fill_(7)
    assert rb.sampler._groups is not None
    fresh = make(num_groups=1, batch_size=9, cache_groups=False)
    fresh.storage[:]["prompt"].fill_(7)
    assert fresh.sample()["prompt"].tolist() == [7] * 9


def test_bad_input():
    for kwargs in ({}, {"num_groups": 1, "samples_per_group": 1}):
        with pytest.raises(TypeError, match="give exactly one"):
            PromptGroupSampler(**kwargs)
    with pytest.raises(ValueError, match="expected one of"):
        PromptGroupSampler(num_groups=1, strategy="best")
    with pytest.raises(ValueError, match="no multiple of `num_groups` = 3"):
        make(num_groups=3).sample()
    with pytest.raises(MissingKeyError, match="whose keys are"):
        make(num_groups=1, strategy="reward", reward_key="score").sample()
