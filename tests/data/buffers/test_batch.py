import pytest
import torch
from tensordict import TensorDict

from rl.data.buffers.batch import batch_dims, check_pinning, pin, stack_index, transpose


def test_batch_dims():
    assert batch_dims(torch.zeros(2, 3)) == 2
    assert batch_dims(TensorDict({"x": torch.zeros(2, 3)}, [2])) == 1
    assert batch_dims([1, 2]) == 0


def test_transpose():
    x = torch.arange(6).view(2, 3)
    moved = transpose({"a": x, "b": (x, [x])}, 1)
    assert torch.equal(moved["a"], x.T)
    assert torch.equal(moved["b"][1][0], x.T)
    assert transpose(TensorDict({"x": x}, [2, 3]), 1).shape == (3, 2)


def test_stack_index():
    index = torch.tensor([1, 2])
    assert stack_index(index) is index
    assert stack_index((index, index)).tolist() == [[1, 1], [2, 2]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs CUDA")
def test_pin():
    pinned = pin({"a": torch.zeros(1), "b": (torch.zeros(1), ["text"])})
    assert pinned["a"].is_pinned()
    assert pinned["b"][0].is_pinned()
    assert pinned["b"][1] == ["text"]


@pytest.mark.skipif(torch.accelerator.is_available(), reason="needs a machine without accelerator")
def test_pinning_needs_an_accelerator():
    with pytest.raises(RuntimeError, match="torch sees none"):
        check_pinning()
