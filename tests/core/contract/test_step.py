import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import LazyStackedTensorDict, TensorDict, lazy_stack, tensorclass

from rl.core.contract.step import StepPlan, step_mdp
from rl.core.errors import MissingKeyError


def tensor(value):
    return torch.full((1,), float(value))


def flat(td):
    return {
        key: value.item() if isinstance(value, torch.Tensor) else value
        for key, value in td.items(True, True, is_leaf=lambda c: not issubclass(c, TensorDict))
    }


@pytest.fixture
def td():
    return TensorDict(
        obs=tensor(0),
        action=tensor(5),
        done=tensor(0),
        reward=tensor(-3),
        hidden=tensor(9),
        agents=TensorDict(obs=tensor(0), action=tensor(6), memory=tensor(8)),
        meta=TensorDict(q=tensor(7)),
        next=TensorDict(
            obs=tensor(1),
            reward=tensor(1),
            done=tensor(1),
            terminated=tensor(1),
            fresh=tensor(2),
            agents=TensorDict(obs=tensor(1), reward=tensor(4)),
            group=TensorDict(reward=tensor(4)),
        ),
    )


KEYS = {
    "reward_keys": ["reward", ("agents", "reward"), ("group", "reward")],
    "done_keys": ["done", "terminated"],
    "action_keys": ["action", ("agents", "action")],
}
MOVED = {
    "obs": 1,
    "done": 1,
    "terminated": 1,
    "fresh": 2,
    ("agents", "obs"): 1,
}
ACTIONS = {"action": 5, ("agents", "action"): 6}
OTHER = {"hidden": 9, ("agents", "memory"): 8, ("meta", "q"): 7}
REWARDS = {"reward": 1, ("agents", "reward"): 4, ("group", "reward"): 4}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, MOVED | ACTIONS | OTHER),
        ({"exclude_action": True}, MOVED | OTHER),
        ({"exclude_reward": False}, MOVED | ACTIONS | OTHER | REWARDS),
        (
            {"exclude_done": True},
            {k: v for k, v in (MOVED | ACTIONS | OTHER).items() if k not in ("done", "terminated")},
        ),
        ({"keep_other": False}, MOVED | ACTIONS),
        ({"keep_other": False, "exclude_action": True}, MOVED),
    ],
)
def test_flags_choose_what_stays(td, flags, expected):
    assert flat(step_mdp(td, **flags, **KEYS)) == expected
    assert flat(StepPlan(**flags, **KEYS)(td)) == expected


def test_default_keys_are_those_at_the_root(td):
    out = step_mdp(td)
    assert "reward" not in out
    assert out["agents", "reward"].item() == 4
    assert out["action"].item() == 5


def test_the_action_in_next_wins(td):
    td["next", "action"] = tensor(55)
    assert step_mdp(td)["action"].item() == 55
    assert "action" not in step_mdp(td, exclude_action=True)


def test_tensors_are_shared_and_containers_are_not(td):
    before = td.clone()
    out = step_mdp(td, **KEYS)
    assert out["obs"] is td["next", "obs"]
    assert out["hidden"] is td["hidden"]
    for key in ("agents", "meta"):
        assert out[key] is not td[key]
        out[key]["added"] = tensor(0)
    out["group", "added"] = tensor(0)
    del out["obs"]
    assert (td == before).all()
    assert set(td.keys(True)) == set(before.keys(True))


def test_a_given_target_is_written_and_returned(td):
    target = TensorDict(mine=tensor(3))
    out = step_mdp(td, target)
    assert out is target
    assert (target["mine"].item(), target["obs"].item()) == (3, 1)


def test_static_entries_stay_as_they_are(td):
    td["next", "hidden"] = tensor(99)
    td["next", "meta"] = TensorDict(q=tensor(99))
    out = StepPlan(static_keys=["hidden", ("meta", "q")])(td)
    assert (out["hidden"].item(), out["meta", "q"].item()) == (9, 7)
    out = StepPlan(static_keys="meta", keep_other=False)(td)
    assert out["meta", "q"].item() == 7
    assert out["meta"] is not td["meta"]
    assert out["hidden"].item() == 99


def test_non_tensor_data_moves_like_tensors():
    td = TensorDict(
        text="old", goal="win", action=tensor(1), next=TensorDict(text="new", obs=tensor(1))
    )
    out = step_mdp(td)
    assert (out["text"], out["goal"]) == ("new", "win")
    assert "goal" not in step_mdp(td, keep_other=False)


def test_tensorclasses_are_copied():
    @tensorclass
    class Pair:
        x: torch.Tensor

    td = TensorDict(
        pair=Pair(x=tensor(0), batch_size=[]),
        extra=Pair(x=tensor(2), batch_size=[]),
        next=TensorDict(pair=Pair(x=tensor(1), batch_size=[])),
    )
    out = step_mdp(td)
    assert (out["pair"].x.item(), out["extra"].x.item()) == (1, 2)
    assert isinstance(out["extra"], Pair)
    out["extra"].x = tensor(5)
    assert td["extra"].x.item() == 2


def test_batch_size_device_and_names_are_kept():
    td = TensorDict(
        action=torch.zeros(3, 4),
        next=TensorDict(obs=torch.ones(3, 4), batch_size=[3, 4]),
        batch_size=[3, 4],
        device="cpu",
        names=[None, "time"],
    )
    out = step_mdp(td)
    assert (out.batch_size, out.device, out.names) == (
        (3, 4),
        torch.device("cpu"),
        [None, "time"],
    )


def test_lazy_stacks_are_stepped_part_by_part(td):
    other = td.clone()
    other["next", "ragged"] = torch.zeros(7)
    other["hidden"] = torch.zeros(3)
    out = step_mdp(lazy_stack([td, other]))
    assert isinstance(out, LazyStackedTensorDict)
    assert out[0]["hidden"].shape == (1,)
    assert out[1]["hidden"].shape == (3,)
    assert out[1]["ragged"].shape == (7,)


def test_lazy_stacks_below_the_root_are_merged_part_by_part():
    def part(n, **more):
        return TensorDict(obs=torch.zeros(n), **more)

    agents = lazy_stack([part(2, memory=tensor(1)), part(3, memory=tensor(2))])
    moved = lazy_stack([part(2, reward=tensor(1)), part(3, reward=tensor(1))])
    td = TensorDict(
        agents=agents,
        next=TensorDict(agents=moved, batch_size=[2]),
        batch_size=[2],
    )
    out = step_mdp(td, reward_keys=[("agents", "reward")])
    assert out["agents"][1]["obs"].shape == (3,)
    assert sorted(out["agents"].keys()) == ["memory", "obs"]
    dense = TensorDict(a=torch.zeros(2, 1), next=moved, batch_size=[2])
    assert sorted(step_mdp(dense)[0].keys()) == ["a", "obs"]


def test_groups_of_the_root_alone_lose_their_special_keys():
    group = TensorDict(action=tensor(6), memory=tensor(8))
    td = TensorDict(agents=group, next=TensorDict(obs=tensor(1)))
    keys = {"action_keys": [("agents", "action")]}
    assert flat(step_mdp(td, exclude_action=True, **keys)) == {("agents", "memory"): 8, "obs": 1}
    assert flat(step_mdp(td, keep_other=False, **keys)) == {("agents", "action"): 6, "obs": 1}
    assert flat(step_mdp(td, keep_other=False, exclude_action=True, **keys)) == {"obs": 1}
    assert set(group.keys()) == {"action", "memory"}


def test_a_group_of_rewards_alone_leaves_no_empty_group():
    plan = StepPlan(reward_keys=[("player", "reward")])
    step = TensorDict(next=TensorDict(obs=tensor(1), player=TensorDict(reward=tensor(1))))
    assert set(plan(step).keys(True)) == {"obs"}
    step["player"] = TensorDict(memory=tensor(2))
    assert set(plan(step).keys(True, True)) == {"obs", ("player", "memory")}


def test_advance_takes_root_and_result_apart(td):
    following = td.pop("next")
    out = StepPlan(**KEYS).advance(td, following)
    assert flat(out) == MOVED | ACTIONS | OTHER


def test_without_next_the_fix_is_named():
    with pytest.raises(MissingKeyError, match=r"what `env.step\(td\)` returned"):
        step_mdp(TensorDict(obs=tensor(0)))


@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_result_is_next_over_root(root, following):
    td = TensorDict(
        {
            **{name: tensor(0) for name in root},
            "next": TensorDict({name: tensor(1) for name in following}),
        }
    )
    expected = {name: 0.0 for name in root} | {name: 1.0 for name in following}
    assert flat(step_mdp(td)) == expected
    only_next = {name: 1.0 for name in following}
    assert flat(step_mdp(td, keep_other=False)) == only_next


def test_a_plan_costs_few_calls(count_calls):
    td = TensorDict(
        obs=tensor(0),
        action=tensor(0),
        hidden=tensor(0),
        next=TensorDict(obs=tensor(1), reward=tensor(1), done=tensor(0)),
    )
    plan = StepPlan()
    assert count_calls(lambda: plan(td)) <= 45
