import pytest
import torch

from rl.core.errors import ShapeError, SpecError
from rl.core.specs import Categorical, Composite, Unbounded
from rl.core.specs.lazy_view import LazyView


@pytest.fixture(params=["leaf", "tree"])
def stack(request):
    if request.param == "leaf":
        return torch.stack([Categorical(2, (4,)), Categorical(3, (4,))], 1)
    parts = [Composite(a=Unbounded((4,)), shape=(4,)), Composite(b=Unbounded((4,)), shape=(4,))]
    return torch.stack(parts, 1)


def test_both_kinds_of_stack_share_the_views(stack):
    assert isinstance(stack, LazyView)
    assert stack.shape == (4, 2)
    assert stack[0].shape == (2,)
    assert stack[:, 1] == stack.specs[1]
    assert stack[1:, 1].shape == (3,)
    assert stack[None, 0].shape == (1, 2)
    assert stack[[0, 1]].shape == (2, 2)
    assert stack[torch.tensor([True, False, True, False])].shape == (2, 2)
    assert stack.unsqueeze(1).shape == (4, 1, 2)
    assert stack.unsqueeze(2).shape == (4, 2, 1)
    assert stack.expand(3, 4, 2)[0] == stack
    assert stack.unbind(1) == stack.specs
    assert len(stack.unbind(0)) == 4


def test_what_would_break_the_stack_is_refused(stack):
    with pytest.raises(ShapeError, match="dimension 1 must stay 2"):
        stack.expand(4, 3)
    with pytest.raises(ShapeError, match="must stay 2"):
        stack.expand(2)
    with pytest.raises(ShapeError, match=r"give one of -3\.\.2"):
        stack.unsqueeze(3)
    with pytest.raises(SpecError, match="work on the parts"):
        stack[torch.ones(4, 2, dtype=torch.bool)]
    with pytest.raises(SpecError, match="work on the parts"):
        stack.flatten()


def test_a_stack_of_one_squeezes_to_its_part():
    stack = torch.stack([Categorical(2), Categorical(3)])
    lone = type(stack)(Categorical(2), dim=0)
    assert lone.squeeze(0) == Categorical(2)
    assert stack.squeeze(0) is stack
