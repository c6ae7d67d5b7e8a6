import torch

from rl.core.specs.space import BinaryBox, Box, BoxList, CategoricalBox, ContinuousBox


def test_box_is_its_own_copy_on_any_device():
    box = Box()
    assert box.to("cpu") is box
    assert box.clone() is box


def test_continuous_box_compares_bounds_dtype_and_values():
    box = ContinuousBox(torch.zeros(2), torch.ones(2))
    assert box == ContinuousBox(torch.zeros(2), torch.ones(2))
    assert box != ContinuousBox(torch.zeros(2), torch.full((2,), 2.0))
    assert box != ContinuousBox(torch.zeros(2).double(), torch.ones(2).double())
    assert box != "box"


def test_continuous_box_clone_shares_no_memory():
    box = ContinuousBox(torch.zeros(2), torch.ones(2))
    copy = box.clone()
    box.low.fill_(-1)
    assert copy.low.tolist() == [0, 0]


def test_continuous_box_moves_and_unpacks():
    low, high = ContinuousBox(torch.zeros(2), torch.ones(2)).to("meta")
    assert low.device.type == high.device.type == "meta"


def test_continuous_box_repr_shows_one_value_or_the_shape():
    box = ContinuousBox(torch.zeros(2), torch.tensor([1.0, 2.0]))
    assert repr(box) == "ContinuousBox(low=0, high=Tensor([2]))"


def test_categorical_and_binary_boxes_hold_n():
    assert CategoricalBox(4) == CategoricalBox(4) != CategoricalBox(5)
    assert BinaryBox(3).n == 3


def test_box_list_nests_as_nvec_does():
    boxes = BoxList.from_nvec(torch.tensor([[2, 3], [4, 5]]))
    assert len(boxes) == 2
    assert boxes[1][0] == CategoricalBox(4)
    assert [box.n for box in BoxList.from_nvec([2, 3])] == [2, 3]
