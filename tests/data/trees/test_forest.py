from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import RLError
from rl.data.trees.forest import MCTSForest


def play(observations, actions, **extra):
    obs = torch.tensor(observations).unsqueeze(-1)
    root = {"observation": obs[:-1], "action": torch.tensor(actions)}
    following = {"observation": obs[1:], "reward": torch.ones(len(actions), 1)}
    return TensorDict({**root, **extra, "next": following}, [len(actions)])


def at(observation):
    return TensorDict(observation=torch.tensor([observation]))


@pytest.fixture
def forest():
    """0 -> 1 -> 2 -> 3 and 0 -> 1 -> 5 -> 6."""
    forest = MCTSForest()
    forest.extend(play([0, 1, 2, 3], [0, 0, 0]))
    forest.extend(play([0, 1, 5, 6], [0, 1, 0]))
    return forest


def chain(tree):
    return None if tree.rollout is None else tree.rollout["observation"].squeeze(-1).tolist()


def test_a_compact_tree(forest):
    tree = forest.get_tree(at(0))
    assert chain(tree) == [0]
    assert [chain(child) for child in tree.subtree] == [[1, 2], [1, 5]]
    assert [int(child.node_observation) for child in tree.subtree] == [3, 6]
    assert list(tree.valid_paths()) == [(0,), (1,)]
    assert tree.edges() == [(0, 1), (0, 2)]
    assert tree.rollout_from_path((1,))["next", "observation"].squeeze(-1).tolist() == [1, 5, 6]


def test_a_tree_of_single_steps(forest):
    tree = forest.get_tree(at(0), compact=False)
    assert tree.rollout is None
    assert list(tree.valid_paths()) == [(0, 0, 0), (0, 1, 0)]
    assert tree.rollout_from_path((0, 0, 0))["observation"].squeeze(-1).tolist() == [0, 1, 2]


def test_steps_are_stored_once_and_counted(forest):
    assert len(forest) == 5
    forest.extend(play([0, 1, 5, 6], [0, 1, 0]))
    assert len(forest) == 5
    tree = forest.get_tree(at(0), compact=False)
    assert tree.subtree[0].count == 3
    assert tree.subtree[0].subtree.visits.tolist() == [1, 2]


def test_nodes_know_where_their_branches_are(forest):
    tree = forest.get_tree(at(0))
    assert tree.index.tolist() == [1, 3]
    assert tree.subtree[0].index is None
    assert forest.get_child(at(1))["action"].tolist() == [0, 1]


def test_a_limit_of_depth(forest):
    assert list(forest.get_tree(at(0), compact=False, max_depth=2).valid_paths()) == [
        (0, 0),
        (0, 1),
    ]
    tree = forest.get_tree(at(0), max_depth=2)
    assert [chain(child) for child in tree.subtree] == [[1], [1]]
    assert forest.get_tree(at(0), max_depth=0).is_terminal


def test_two_ways_to_one_observation_meet():
    forest = MCTSForest()
    forest.extend(play([0, 1, 3, 4], [0, 1, 0]))
    forest.extend(play([0, 2, 3, 5], [1, 0, 1]))
    tree = forest.get_tree(at(0), compact=False)
    left, right = (child.subtree[0] for child in tree.subtree)
    assert left.hash == right.hash
    assert left.subtree[0] is right.subtree[0]
    assert tree.num_vertices() == 7
    assert len(list(tree.valid_paths())) == 4


@pytest.mark.parametrize("compact", [True, False])
def test_a_way_back_is_not_followed(compact):
    forest = MCTSForest()
    forest.extend(play([0, 1, 2, 0, 1, 3], [0, 0, 0, 0, 1]))
    tree = forest.get_tree(at(0), compact=compact)
    ends = {int(node.node_observation) for node in tree.nodes() if node.is_terminal}
    assert 3 in ends
    assert tree.num_vertices() < 8


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=8
    ),
    st.booleans(),
)
def test_paths_are_the_rollouts(actions, compact):
    # an observation is the list of actions so far, so that rollouts share nothing but beginnings
    forest = MCTSForest()
    for taken in actions:
        codes = [
            sum((a + 1) * 4**i for i, a in enumerate(taken[:n])) for n in range(len(taken) + 1)
        ]
        forest.extend(play(codes, list(taken)))
    tree = forest.get_tree(at(0), compact=compact)
    found = {tuple(tree.rollout_from_path(p)["action"].tolist()) for p in tree.valid_paths()}
    whole = {a for a in actions if not any(b != a and b[: len(a)] == a for b in actions)}
    assert found == whole


def test_nested_keys_and_batches():
    forest = MCTSForest(
        observation_keys=[("agent", "obs")], action_keys=[("agent", "act")], excluded_keys=["junk"]
    )
    run = TensorDict(
        {
            "agent": {"obs": torch.arange(6).reshape(2, 3, 1), "act": torch.zeros(2, 3)},
            "junk": torch.zeros(2, 3),
            "next": {"agent": {"obs": torch.arange(6).reshape(2, 3, 1) + 1}},
        },
        [2, 3],
    )
    tree = forest.extend(run, return_node=True)
    assert tree.rollout["agent", "obs"].squeeze(-1).tolist() == [0, 1, 2, 3, 4, 5]
    assert "junk" not in tree.rollout
    assert tree.selected_actions is None
    assert tree.prev_action == 0


def test_one_step_at_a_time(forest):
    tree = forest.add(play([6, 7], [2])[0], return_node=True)
    assert chain(tree) == [6]
    assert forest.to_string(at(6)).startswith("()")


def test_the_state_goes_on(forest):
    other = MCTSForest()
    other.load_state_dict(forest.state_dict())
    for part in (forest, other):
        part.extend(play([1, 9], [5]))
    ours, theirs = (f.get_tree(at(0), compact=False) for f in (forest, other))
    assert list(ours.valid_paths()) == list(theirs.valid_paths())
    assert ours.subtree[0].count == theirs.subtree[0].count == 2
    other.load_state_dict(MCTSForest().state_dict())
    assert len(other) == 0


def test_keys_of_an_env(forest):
    env = SimpleNamespace(
        action_keys=["move"], reward_keys=["r"], done_keys=["done"], observation_keys=["board"]
    )
    fresh = MCTSForest()
    fresh.get_keys_from_env(env)
    assert (fresh.action_keys, fresh.observation_keys) == (("move",), ("board",))
    with pytest.raises(RLError, match="before adding"):
        forest.get_keys_from_env(env)


def test_bad_input(forest):
    with pytest.raises(KeyError, match="make up an observation"):
        forest.get_tree(at(77))
    with pytest.raises(KeyError, match="`extend` it with rollouts first"):
        MCTSForest().get_tree(at(0))
    with pytest.raises(RLError, match="use `add`"):
        forest.extend(play([0, 1], [0])[0])
    small = MCTSForest(max_size=2)
    with pytest.raises(IndexError, match="raise the storage's `max_size`"):
        small.extend(play([0, 1, 2, 3], [0, 0, 0]))
    assert len(small) == 0
