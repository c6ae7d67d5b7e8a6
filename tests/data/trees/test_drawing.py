import pytest
import torch
from tensordict import TensorDict

from rl.data.trees.drawing import draw_boxes, draw_tree
from rl.data.trees.tree import Tree

pytest.importorskip("matplotlib")
LABELS = {(): "root", (0,): "a", (1,): "b", (0, 0): "c", (0, 1): "d"}


def texts(figure):
    return {text.get_text(): text.get_position() for text in figure.axes[0].texts}


def test_parents_stand_above_the_middle_of_their_leaves():
    found = texts(draw_tree(LABELS))
    assert found == {
        "root": (1.5, 0),
        "a": (1.0, -1),
        "b": (2.5, -1),
        "c": (0.5, -2),
        "d": (1.5, -2),
    }


def test_a_line_leads_to_each_child():
    assert len(draw_tree(LABELS).axes[0].lines) == 4


def test_a_box_for_each_node():
    figure = draw_boxes(LABELS)
    assert set(texts(figure)) == set(LABELS.values())
    assert len(figure.axes[0].collections) == 5


@pytest.mark.parametrize("figure", ["tree", "box"])
def test_a_tree_is_drawn(figure, tmp_path):
    root = Tree.make_node(TensorDict(observation=torch.zeros(1)))
    root.count = 7
    drawn = root.plot(figure)
    assert set(texts(drawn)) == {"7"}
    drawn.savefig(tmp_path / "tree.png")
    assert (tmp_path / "tree.png").stat().st_size > 0
