import pytest
import torch

from rl.core.errors import ShapeError
from rl.data.maps.random_projection import RandomProjectionHash


def test_near_rows_share_a_hash_and_far_ones_do_not():
    hash_module = RandomProjectionHash(generator=torch.Generator().manual_seed(0))
    x = torch.randn(20, 300, generator=torch.Generator().manual_seed(1))
    hashes = hash_module(x)
    assert len(hashes.unique()) == 20
    assert (hash_module(x + 1e-9) == hashes).all()


def test_the_matrix_is_saved():
    first, second = RandomProjectionHash(n_components=4), RandomProjectionHash(n_components=4)
    x = torch.randn(3, 7)
    hashes = first(x)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(x), hashes)


def test_a_projection_by_hand():
    hash_module = RandomProjectionHash(n_components=1, init_method=torch.nn.init.ones_)
    rows = torch.tensor([[1.0, 2.0], [3.0, 0.0], [2.0, 2.0]])
    hashes = hash_module(rows)
    assert hashes[0] == hashes[1] != hashes[2]


def test_another_width():
    hash_module = RandomProjectionHash()
    hash_module(torch.randn(2, 5))
    with pytest.raises(ShapeError, match="module of their own"):
        hash_module(torch.randn(2, 6))
