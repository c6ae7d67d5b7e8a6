import gc

import pytest
import torch
from tensordict import TensorDict

from rl.data.trees.tree import Subtree, Tree


def step(start, action, end):
    return TensorDict(
        observation=torch.tensor([start]),
        action=torch.tensor(action),
        next=TensorDict(observation=torch.tensor([end])),
    )


@pytest.fixture
def tree():
    """0 -> 1 -> {2, 3}, 0 -> 4."""
    root = Tree.make_node(TensorDict(observation=torch.tensor([0])))
    one = root.add_child(step(0, 10, 1))
    one.add_child(step(1, 20, 2))
    one.add_child(step(1, 30, 3))
    root.add_child(step(0, 40, 4))
    for number, node in enumerate(root.nodes()):
        node.node_id = node.hash = number
    return root


def observations(nodes):
    return [int(node.node_observation) for node in nodes]


def test_relations(tree):
    one = tree.subtree[0]
    assert (tree.num_children, one.num_children, one.subtree[0].num_children) == (2, 2, 0)
    assert one.parent is tree
    assert tree.parent is None
    assert one.subtree[1].is_terminal
    assert not one.is_terminal
    assert one.subtree[0].is_below(tree)
    assert not tree.is_below(one)


def test_actions(tree):
    assert tree.prev_action is tree.branching_action is None
    assert tree.subtree[0].subtree[1].prev_action == 30
    assert tree.selected_actions.tolist() == [10, 40]
    assert tree.subtree[1].selected_actions is None


def test_the_graph(tree):
    assert observations(tree.nodes()) == [0, 1, 4, 2, 3]
    assert tree.edges() == [(0, 1), (0, 2), (1, 3), (1, 4)]
    assert list(tree.valid_paths()) == [(0, 0), (0, 1), (1,)]
    assert tree.max_length() == 2
    assert tree.num_vertices() == 5
    assert list(tree.vertices(key_type="path")) == [(), (0,), (1,), (0, 0), (0, 1)]
    assert tree.get_vertex_by_id(3) is tree.get_vertex_by_hash(3) is tree.subtree[0].subtree[0]


def test_steps_along_a_path(tree):
    assert tree.rollout_from_path((0, 1))["action"].tolist() == [10, 30]
    assert tree.rollout_from_path(()) is None


def test_a_node_with_two_parents_is_one_node(tree):
    shared = tree.subtree[0].subtree[0]
    tree.subtree[1].adopt(shared)
    assert shared.parents == [tree.subtree[0], tree.subtree[1]]
    assert tree.num_vertices() == 5
    assert tree.num_vertices(count_repeat=True) == 6
    assert list(tree.valid_paths()) == [(0, 0), (0, 1), (1, 0)]


def test_counts_of_the_children(tree):
    tree.subtree[1].count += 2
    tree.subtree[1].wins += 0.5
    assert tree.subtree.visits.tolist() == [0, 2]
    assert tree.subtree.wins.tolist() == [0.0, 0.5]
    assert isinstance(tree.subtree[1:], Subtree)


def test_several_entries_come_as_a_tensordict():
    data = TensorDict(board=torch.zeros(2), turn=torch.tensor(1))
    assert set(Tree.make_node(data).node_observation.keys()) == {"board", "turn"}


def test_parents_are_not_kept_alive():
    root = Tree.make_node(TensorDict(observation=torch.tensor([0])))
    child = root.add_child(step(0, 1, 2))
    del root
    gc.collect()
    assert child.parent is None


def test_fully_expanded(tree):
    class Env:
        def cardinality(self, tensordict):
            return 2 + int(tensordict["observation"])

    assert tree.fully_expanded(Env())
    assert not tree.subtree[0].fully_expanded(Env())


def test_text(tree):
    text = tree.to_string(lambda node: str(int(node.node_observation)))
    assert text.splitlines() == ["() 0", " (0,) 1", "  (0, 0) 2", "  (0, 1) 3", " (1,) 4"]
    assert "observation" in tree.to_string()


def test_a_deep_tree_is_no_matter_of_recursion():
    root = node = Tree.make_node(TensorDict(observation=torch.tensor([0])))
    for number in range(2000):
        node = node.add_child(step(number, 0, number + 1))
    assert root.max_length() == 2000
    assert node.is_below(root)


def test_bad_input(tree):
    with pytest.raises(IndexError, match=r"`valid_paths\(\)` lists the paths"):
        tree.rollout_from_path((1, 0))
    with pytest.raises(KeyError, match="has 5 nodes"):
        tree.get_vertex_by_id(9)
    with pytest.raises(ValueError, match="'id', 'hash' or 'path'"):
        tree.vertices(key_type="name")
    with pytest.raises(ValueError, match="'tree' or 'box'"):
        tree.plot("round")
