import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from tensordict.nn import TensorDictModule

from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.modules import MultiStepActorWrapper


class Planner:
    """Plans obs, obs + 0.1, obs + 0.2, ... and remembers the batches it was asked for."""

    def __init__(self, length=3):
        self.length, self.asked = length, []

    def __call__(self, obs):
        self.asked.append(obs.shape[0] if obs.dim() else 1)
        plan = obs.unsqueeze(-1) + torch.arange(self.length, dtype=obs.dtype) / 10
        return plan.unsqueeze(-1)


def wrapped(planner=None, key="action", **kwargs):
    actor = TensorDictModule(planner or Planner(), ["obs"], [key])
    return MultiStepActorWrapper(actor, **kwargs)


def step(actor, td, obs, is_init):
    """One step of a loop with an env: what was written stays at the root."""
    td = td.copy()
    td["obs"], td["is_init"] = torch.tensor(obs), torch.tensor(is_init).unsqueeze(-1)
    return actor(td)


def test_one_action_per_call_then_a_new_plan():
    actor, td, taken = wrapped(n_steps=3), TensorDict(batch_size=[1]), []
    for t in range(7):
        td = step(actor, td, [float(t)], [t == 0])
        taken.append(round(td["action"].item(), 1))
    assert taken == [0.0, 0.1, 0.2, 3.0, 3.1, 3.2, 6.0]
    assert actor.actor.module.asked == [1, 1, 1]


def test_entries_plan_at_their_own_time_and_alone():
    planner = Planner()
    actor, td, taken = wrapped(planner), TensorDict(batch_size=[2]), []
    resets = [[True, True], [False, True], [False, False], [False, False], [True, False]]
    for t, is_init in enumerate(resets):
        td = step(actor, td, [10.0 * t, 10.0 * t + 5], is_init)
        taken.append([round(x, 1) for x in td["action"].flatten().tolist()])
    assert taken == [[0.0, 5.0], [0.1, 15.0], [0.2, 15.1], [30.0, 15.2], [40.0, 45.0]]
    assert planner.asked == [2, 1, 1, 2]


@settings(deadline=None, max_examples=40)
@given(
    resets=st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=10),
    interval=st.sampled_from([None, 1, 2, 3]),
)
def test_a_batch_is_its_entries_one_by_one(resets, interval):
    together, td = wrapped(replan_interval=interval), TensorDict(batch_size=[3])
    alone = [(wrapped(replan_interval=interval), TensorDict()) for _ in range(3)]
    for t, is_init in enumerate(resets):
        obs = [100.0 * t + i for i in range(3)]
        td = step(together, td, obs, list(is_init))
        alone = [
            (actor, step(actor, one, obs[i], is_init[i])) for i, (actor, one) in enumerate(alone)
        ]
        for key in ("action", "action_orig", "counter"):
            assert torch.equal(td[key], torch.stack([one[key] for _, one in alone]))


def test_replan_interval():
    actor, td, taken = wrapped(replan_interval=2), TensorDict(batch_size=[1]), []
    for t in range(5):
        td = step(actor, td, [float(t)], [t == 0])
        taken.append(round(td["action"].item(), 1))
    assert taken == [0.0, 0.1, 2.0, 2.1, 4.0]


def test_the_state_lives_in_the_data():
    """Two trajectories may alternate through one wrapper, and a copy goes on where the data are."""
    actor, other = wrapped(), wrapped()
    first = step(actor, TensorDict(batch_size=[1]), [0.0], [True])
    second = step(actor, TensorDict(batch_size=[1]), [7.0], [True])
    assert step(other, first, [9.0], [False])["action"].item() == pytest.approx(0.1)
    assert step(actor, second, [9.0], [False])["action"].item() == pytest.approx(7.1)


def test_stored_data_stay_whole():
    actor = wrapped()
    first = step(actor, TensorDict(batch_size=[2]), [0.0, 5.0], [True, True])
    kept = first.clone()
    step(actor, first, [50.0, 55.0], [False, True])
    assert (first == kept).all()


def test_other_outputs_are_those_of_the_plan():
    actor = TensorDictModule(
        lambda obs: (obs[:, None, None].expand(-1, 3, 1), -obs), ["obs"], ["action", "log_prob"]
    )
    actor, td = MultiStepActorWrapper(actor), TensorDict(batch_size=[2])
    td = step(actor, td, [1.0, 2.0], [True, True])
    td = step(actor, td, [3.0, 4.0], [False, True])
    assert td["log_prob"].tolist() == [-1.0, -4.0]
    with pytest.raises(MissingKeyError, match="keep what the actor writes"):
        step(actor, td.exclude("log_prob"), [5.0, 6.0], [False, True])


@pytest.mark.parametrize(
    ("chunk", "action", "cache"),
    [
        ("action", "action", "action_orig"),
        ("action_chunk", "action", "action_chunk"),
        (("vla_action", "chunk"), "action", ("vla_action", "chunk")),
        (("agents", "action"), ("agents", "action"), ("agents", "action_orig")),
        (("agents", "move_chunk"), ("agents", "move"), ("agents", "move_chunk")),
    ],
)
def test_keys(chunk, action, cache):
    actor = wrapped(key=chunk)
    assert (actor.chunk_keys, actor.action_keys) == ([chunk], [action])
    assert actor.in_keys == ["obs", "is_init"]
    assert actor.carried_keys == [cache, "counter"]
    assert set(actor.out_keys) == {chunk, action, cache, "counter"}
    td = step(actor, TensorDict(batch_size=[2]), [0.0, 1.0], [True, True])
    assert td[cache].shape == (2, 3, 1)
    assert td[action].shape == (2, 1)
    assert td["counter"].tolist() == [[1], [1]]


def test_given_keys():
    actor = wrapped(key="plan", chunk_keys="plan", action_keys=[("robot", "move")])
    td = step(actor, TensorDict(batch_size=[2]), [0.0, 1.0], [True, True])
    assert td["robot", "move"].shape == (2, 1)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("keep_dim", [False, True])
def test_any_batch_and_shape_of_actions(batch, keep_dim):
    plan = torch.randn(*batch, 4, 5, 2)
    actor = TensorDictModule(lambda obs: plan + obs, ["obs"], ["action"])
    actor = MultiStepActorWrapper(actor, 4, keep_dim=keep_dim)
    td = TensorDict(
        obs=torch.zeros((*batch, 1, 1, 1) if batch else ()),
        is_init=torch.ones(*batch, 1, dtype=torch.bool),
        batch_size=batch,
    )
    for i in range(4):
        want = plan.select(len(batch), i)
        assert torch.equal(actor(td)["action"], want.unsqueeze(len(batch)) if keep_dim else want)
        td["is_init"] = torch.zeros_like(td["is_init"])


def test_the_first_flag_of_any_agent_counts():
    td = TensorDict(batch_size=[2])
    actor = wrapped(init_key=("agents", "is_init"))
    flags = torch.tensor([[[False], [True]], [[False], [False]]])
    td = actor(
        td.set("obs", torch.zeros(2)).set(("agents", "is_init"), torch.zeros(2, 2, 1).bool())
    )
    td = actor(td.set("obs", torch.ones(2)).set(("agents", "is_init"), flags))
    assert td["counter"].tolist() == [[1], [2]]


def test_compiles_with_the_same_actions():
    actor, td = wrapped(), TensorDict(batch_size=[2])
    actor.actor.module = lambda obs: obs[:, None, None] + torch.arange(3.0)[:, None] / 10
    compiled, other = torch.compile(actor, fullgraph=True, backend="eager"), td
    for t, is_init in enumerate([[True, True], [False, True], [False, False], [False, False]]):
        obs = [float(t), t + 5.0]
        td, other = step(actor, td, obs, is_init), step(compiled, other, obs, is_init)
        torch.testing.assert_close(other["action"], td["action"])
        assert torch.equal(other["counter"], td["counter"])


def test_bad_input():
    with pytest.raises(RLError, match="a number from 1 to `n_steps`"):
        wrapped(n_steps=3, replan_interval=4)
    with pytest.raises(RLError, match="pass `chunk_keys=`"):
        wrapped(key="logits")
    with pytest.raises(RLError, match="one action per chunk"):
        wrapped(action_keys=["a", "b"])
    with pytest.raises(MissingKeyError, match="`is_init` is missing"):
        wrapped()(TensorDict(obs=torch.zeros(2), batch_size=[2]))
    with pytest.raises(ShapeError, match="expected 4 actions at dimension 1"):
        step(wrapped(n_steps=4), TensorDict(batch_size=[2]), [0.0, 1.0], [True, True])
    with pytest.raises(ShapeError, match="expected 5 or more actions"):
        step(wrapped(replan_interval=5), TensorDict(batch_size=[2]), [0.0, 1.0], [True, True])
