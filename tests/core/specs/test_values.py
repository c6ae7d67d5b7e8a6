import numpy as np
import pytest
import torch

from rl.core.specs.values import describe, equal, memo_key


def test_equal_values_share_a_key_and_others_do_not():
    array = np.arange(3)
    assert memo_key(array) == memo_key(torch.arange(3)) == memo_key(array.copy())
    keys = [memo_key(v) for v in (1, 1.0, True, "1", array, array.astype(np.int32), [1], (array,))]
    assert len(set(map(repr, keys))) == len(keys)


def test_what_has_no_key_raises():
    with pytest.raises(TypeError):
        memo_key({"a": 1})


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (torch.ones(2), torch.ones(2), True),
        (torch.ones(2), torch.zeros(2), False),
        (torch.ones(2), None, False),
        ((1, torch.ones(2)), (1, torch.ones(2)), True),
        ((1,), (1, 2), False),
        ("a", "a", True),
    ],
)
def test_equality_looks_into_tensors_and_tuples(left, right, same):
    assert equal(left, right) is same


def test_descriptions_show_small_tensors_and_cut_long_values():
    assert describe(torch.ones(1)) == "Tensor(shape=[1], dtype=torch.float32, value=[1.0])"
    assert "value" not in describe(torch.ones(17))
    assert len(describe("x" * 1000)) == 500
