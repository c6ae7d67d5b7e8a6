import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.data import LazyTensorStorage, ListStorage, TensorDictReplayBuffer
from rl.llm import History, MCAdvantage
from rl.llm.objectives.mc_advantage import group_advantage


def batch(prompts, rewards, done=None):
    """Steps `[N]`, each a whole trajectory unless `done` says otherwise."""
    size = [len(prompts)]
    done = torch.ones(size, dtype=torch.bool) if done is None else torch.tensor(done)
    reward = torch.tensor(rewards).view(-1, 1, 1)
    after = TensorDict({"reward": reward, "done": done.view(-1, 1)}, batch_size=size)
    return TensorDict({"query": prompts, "next": after}, batch_size=size)


def advantages(td):
    return td["advantage"].flatten().tolist()


def test_each_answer_is_compared_with_its_group():
    out = MCAdvantage(2).inv(batch(["a", "b", "a", "b"], [0.0, 5.0, 2.0, 4.0]))
    half = 2**-0.5  # the values lie one below and one above their mean, deviation sqrt 2
    assert advantages(out) == pytest.approx([-half, half, half, -half])
    assert out["advantage"].shape == (4, 1, 1)
    assert out["query"] == ["a", "b", "a", "b"]


@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=6))
def test_a_group_has_mean_zero_and_deviation_one_or_teaches_nothing(rewards):
    value, differs = group_advantage(torch.tensor(rewards, dtype=torch.float64))
    assert value.mean().abs() < 1e-6
    if differs:
        assert value.std() == pytest.approx(1)
    else:
        assert (value == 0).all()


def test_a_group_that_agrees_is_zero_and_counted():
    transform = MCAdvantage(3)
    out = transform.inv(batch(["a"] * 3 + ["b"] * 3, [0.1] * 3 + [0.0, 0.0, 1.0]))
    assert advantages(out)[:3] == [0, 0, 0]
    assert (transform.num_groups, transform.num_zero_variance_groups) == (2, 1)


def test_incomplete_groups_wait_and_pass_together():
    transform = MCAdvantage(2)
    first = transform.inv(batch(["a", "b"], [0.0, 1.0]))
    assert len(first) == 0
    assert first["advantage"].shape == (0, 1, 1)
    assert transform.num_waiting == 2
    second = transform.inv(batch(["c", "a"], [0.0, 2.0]))
    assert second["query"] == ["a", "a"]
    assert advantages(second) == pytest.approx([-(2**-0.5), 2**-0.5])
    assert transform.num_waiting == 2


def test_rows_of_different_lengths_can_wait_for_each_other():
    transform = MCAdvantage(2)
    for length in (2, 3):
        td = batch(["a"], [float(length)])
        td["tokens"] = torch.zeros(1, length)
        out = transform.inv(td)
    assert [row.shape for row in out.get("tokens", as_list=True)] == [(2,), (3,)]


def test_a_prompt_with_two_groups_makes_two_comparisons():
    out = MCAdvantage(2).inv(batch(["a"] * 4, [0.0, 1.0, 10.0, 10.0]))
    assert advantages(out)[2:] == [0, 0]


def test_a_trajectory_of_several_steps_has_one_advantage():
    td = batch(["a"] * 4, [1.0, 2.0, 0.0, 1.0], done=[False, True, False, True])
    half = 2**-0.5  # returns 3 and 1
    assert advantages(MCAdvantage(2).inv(td)) == pytest.approx([half, half, -half, -half])
    by_step = MCAdvantage(2, trajectory_return=False).inv(td)
    assert advantages(by_step) == pytest.approx([0.0, 1.2247449, -1.2247449, 0.0])


def test_batches_of_rows_keep_their_shape():
    td = batch(["a"] * 4, [1.0, 2.0, 0.0, 1.0], done=[False, True, False, True]).reshape(2, 2)
    out = MCAdvantage(2).inv(td)
    assert out.shape == (2, 2)
    assert out["advantage"].shape == (2, 2, 1, 1)


def test_groups_out_of_bounds_are_dropped():
    transform = MCAdvantage(2, keep_return_bounds=(0.0, 1.0))
    out = transform.inv(batch(["a", "a", "b", "b", "c", "c"], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]))
    assert out["query"] == ["b", "b"]
    assert transform.num_dropped_groups == 2


@pytest.mark.parametrize(
    "prompts",
    [
        torch.tensor([[1, 2], [1, 2]]),
        History.from_chats([[{"role": "user", "content": "x"}]] * 2),
    ],
)
def test_prompts_may_be_tokens_or_histories(prompts):
    td = batch(["a", "b"], [0.0, 2.0])
    td["prompt"] = prompts
    out = MCAdvantage(2, prompt_key="prompt").inv(td)
    assert advantages(out) == pytest.approx([-(2**-0.5), 2**-0.5])


def test_dense_rewards_are_summed():
    td = batch(["a", "a"], [0.0, 0.0])
    td["next", "reward"] = torch.tensor([[[0.0], [1.0]], [[1.0], [2.0]]])
    out = MCAdvantage(2).inv(td)
    assert out["advantage"].shape == (2, 2, 1)
    assert advantages(out) == pytest.approx([-(2**-0.5)] * 2 + [2**-0.5] * 2)


def test_a_buffer_holds_whole_groups():
    buffer = TensorDictReplayBuffer(storage=ListStorage(10), transform=MCAdvantage(2), batch_size=2)
    buffer.extend(batch(["a", "b"], [0.0, 1.0]))
    assert len(buffer) == 0
    buffer.extend(batch(["b", "a", "c"], [1.0, 2.0, 0.0]))
    assert len(buffer) == 4
    assert sorted(advantages(buffer[:])) == pytest.approx([-(2**-0.5), 0, 0, 2**-0.5])
    assert "advantage" in buffer.sample()


def test_rows_that_waited_fill_a_tensor_storage():
    buffer = TensorDictReplayBuffer(
        storage=LazyTensorStorage(10),
        transform=MCAdvantage(2, prompt_key="id"),
        batch_size=2,
    )
    for reward in (0.0, 2.0):
        td = batch(["a"], [reward])
        buffer.extend(td.exclude("query").set("id", torch.tensor([7])))
    assert advantages(buffer[:]) == pytest.approx([-(2**-0.5), 2**-0.5])


def test_the_data_given_stay_as_they_are_and_samples_pass():
    td = batch(["a", "a"], [0.0, 2.0])
    transform = MCAdvantage(2)
    transform.inv(td)
    assert "advantage" not in td
    assert transform(td) is td


@pytest.mark.parametrize(
    ("td", "error", "fix"),
    [
        (batch(["a"] * 2, [0.0, 1.0], done=[True, False]), ShapeError, "yield_completed"),
        (batch(["a"] * 2, [0.0, 1.0])[0], ShapeError, "`extend` the buffer"),
        (batch(["a"] * 2, [0.0, 1.0]).exclude("query"), MissingKeyError, "`prompt_key=`"),
    ],
)
def test_data_that_cannot_be_grouped(td, error, fix):
    with pytest.raises(error, match=fix):
        MCAdvantage(2).inv(td)


def test_a_group_of_one_is_refused():
    with pytest.raises(RLError, match="at least 2"):
        MCAdvantage(1)
