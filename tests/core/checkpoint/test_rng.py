import random

import numpy as np
import torch

from rl.core.checkpoint import Checkpoint, GlobalRNGState


def draws():
    return random.random(), np.random.rand(), torch.rand(2).tolist(), torch.randn(3).tolist()


def test_the_streams_go_on_where_they_were_saved(tmp_path):
    checkpoint = Checkpoint(rng=GlobalRNGState())
    np.random.randn()  # leaves half a pair of normals in numpy's state
    checkpoint.save(tmp_path)
    expected = draws(), np.random.randn()
    draws()
    checkpoint.load(tmp_path)
    assert (draws(), np.random.randn()) == expected
