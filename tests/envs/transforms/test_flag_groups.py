import pytest
import torch
from tensordict import TensorDict

from rl.core import Binary, Composite
from rl.envs.transforms.flag_groups import (
    batch_mask,
    expand_mask,
    find_mask,
    flag_groups,
    flag_groups_of_data,
    group_of,
)


def _flag(*shape):
    return Binary(shape=(*shape, 1), dtype=torch.bool)


def test_groups_of_specs():
    spec = Composite(
        a=Composite(done=_flag(2), terminated=_flag(2), shape=(2,)),
        b=Composite(c=Composite(done=_flag(3), shape=(3,))),
    )
    groups = flag_groups(spec)
    assert [(group.path, tuple(group.shape)) for group in groups] == [
        (("a",), (2, 1)),
        (("b", "c"), (3, 1)),
    ]
    assert groups[1].key("_reset") == ("b", "c", "_reset")
    spec["done"] = _flag()
    assert [group.path for group in flag_groups(spec)] == [()]


def test_groups_of_data():
    data = TensorDict(
        {"a": {"done": torch.zeros(2, 1)}, "next": {"done": torch.zeros(1)}, "x": torch.zeros(1)}
    )
    (group,) = flag_groups_of_data(data)
    assert group.path == ("a",)
    assert group.node(data) is data["a"]


def test_group_of():
    groups = flag_groups(Composite(a=Composite(done=_flag()), b=Composite(done=_flag())))
    assert group_of(("b", "reward"), groups).path == ("b",)
    assert group_of("reward", groups) is None
    assert group_of("reward", groups[:1]).path == ("a",)


def test_the_outermost_mask_rules():
    inner, outer = torch.tensor([True]), torch.tensor([False])
    data = TensorDict({"a": {"_reset": inner}})
    assert find_mask(data, ("a",)).item()
    assert find_mask(data) is None
    assert find_mask(None, ("a",)) is None
    assert not find_mask(data.set("_reset", outer), ("a",)).item()


@pytest.mark.parametrize(
    ("mask", "target"), [((2,), (2, 1)), ((2, 1), (2, 4, 5)), ((1,), (7,)), ((2, 1), (2,))]
)
def test_expand(mask, target):
    mask = torch.ones(mask, dtype=torch.bool)
    assert expand_mask(mask, torch.zeros(target)).shape == target


def test_batch_mask():
    mask = torch.tensor([[[False], [True]], [[False], [False]]])
    assert batch_mask(mask, torch.Size([2])).tolist() == [True, False]
