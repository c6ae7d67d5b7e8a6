import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.errors import ShapeError
from rl.data.maps.sip_hash import SipHash, sip_hash

#: key 00 01 .. 0f; the paper's appendix A and the first of its reference vectors
KEY = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
VECTORS = {
    0: 0x726FDB47DD0E0E31,
    1: 0x74F839C593DC67FD,
    8: 0x93F5F5799A932462,
    15: 0xA129CA6149BE45E5,
}


@pytest.mark.parametrize(("length", "expected"), VECTORS.items())
def test_the_vectors_of_the_paper(length, expected):
    message = torch.arange(length, dtype=torch.uint8)[None]
    assert sip_hash(message, KEY).item() % 2**64 == expected


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int32, torch.bool])
def test_rows_hash_alike_only_if_they_are_equal(dtype):
    rows = torch.tensor([[0, 1, 1], [0, 1, 1], [1, 1, 0]]).to(dtype)
    hashes = SipHash()(rows)
    assert hashes[0] == hashes[1] != hashes[2]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=1, max_size=30))
def test_hashes_tell_rows_apart_as_python_does(rows):
    hashes = SipHash()(torch.tensor(rows)).tolist()
    assert len(set(hashes)) == len({tuple(row) for row in rows})


def test_batches_keep_their_shape():
    x = torch.randn(2, 3, 4)
    hashes = SipHash()(x)
    assert hashes.shape == (2, 3)
    assert hashes[1, 2] == SipHash()(x[1, 2])


def test_both_zeros_are_equal():
    assert SipHash()(torch.tensor([0.0])) == SipHash()(torch.tensor([-0.0]))


def test_rows_that_are_not_contiguous():
    x = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(SipHash()(x.t()), SipHash()(x.t().contiguous()))


def test_bytes():
    hashes = SipHash(as_tensor=False)(torch.zeros(2, 3))
    assert [type(value) for value in hashes] == [bytes, bytes]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 8


def test_another_process_finds_the_same_hash():
    code = "import torch; from rl.data import SipHash; print(SipHash()(torch.ones(3)).item())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == SipHash()(torch.ones(3)).item()


def test_a_number_has_no_features():
    with pytest.raises(ShapeError, match="unsqueeze"):
        SipHash()(torch.tensor(1.0))
