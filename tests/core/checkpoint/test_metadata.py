import numpy as np
import pytest
import torch

from rl.core.checkpoint.metadata import decode_metadata, encode_metadata
from rl.core.errors import CheckpointError


def test_numbers_of_every_kind_become_numbers():
    given = {"a": torch.tensor([2.5]), "b": np.float32(0.5), "c": np.array(3), "d": 1}
    assert encode_metadata(given) == {"a": 2.5, "b": 0.5, "c": 3, "d": 1}


def test_what_json_lacks_comes_back():
    given = {"nan": float("-inf"), "pair": (1, 2), "nested": {"x": [None]}}
    assert decode_metadata(encode_metadata(given)) == given


@pytest.mark.parametrize("value", [torch.ones(2), np.ones(2), print])
def test_the_rest_is_refused_by_name(value):
    with pytest.raises(CheckpointError, match="`metadata/x`"):
        encode_metadata({"x": value})
