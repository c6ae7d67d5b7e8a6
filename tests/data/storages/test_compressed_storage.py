import bz2

import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import CheckpointError, SpecError
from rl.data import CompressedListStorage, ReplayBuffer

ITEMS = [
    torch.arange(12.0).reshape(3, 4).T,
    torch.tensor(3, dtype=torch.bfloat16),
    torch.empty(0, 2),
    {"a": (torch.ones(2), [torch.tensor([True])]), "b": "text", "c": 3},
    TensorDict({"x": torch.ones(2, 3), "y": {"z": torch.zeros(2)}}, [2]),
]

BZ2 = {"compression_fn": bz2.compress, "decompression_fn": bz2.decompress}


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and all(map(same, a, b))
    return bool((a == b).all()) if isinstance(a, TensorDict) else a == b


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("kwargs", [{}, BZ2])
def test_what_is_read_equals_what_was_written(tmp_path, item, kwargs):
    storage, other = (CompressedListStorage(4, **kwargs) for _ in "ab")
    storage.set(0, item)
    assert same(item, storage[0])
    rb, copy = ReplayBuffer(storage=storage), ReplayBuffer(storage=other)
    rb.dumps(tmp_path)
    copy.loads(tmp_path)
    assert same(item, other[0])


def test_it_compresses():
    storage = CompressedListStorage(10)
    frames = torch.zeros(10, 3, 64, 64, dtype=torch.uint8)
    storage.set(range(10), frames)
    assert storage.num_bytes < frames.numel() / 100
    none = CompressedListStorage(10, compression_level=0)
    none.set(range(10), frames)
    assert none.num_bytes > frames.numel()


def test_bad_functions_raise():
    with pytest.raises(ValueError, match="together"):
        CompressedListStorage(4, compression_fn=bz2.compress)
    with pytest.raises(ValueError, match="expected 0 to 9"):
        CompressedListStorage(4, compression_level=22)
    storage = CompressedListStorage(4, compression_fn=bytes, decompression_fn=lambda b: b[1:])
    storage.set(0, torch.zeros(2))
    with pytest.raises(SpecError, match="must undo"):
        storage[0]


def test_another_codec_raises(tmp_path):
    rb = ReplayBuffer(storage=CompressedListStorage(4))
    rb.add(torch.zeros(3))
    rb.dumps(tmp_path)
    other = CompressedListStorage(4, compression_fn=bz2.compress, decompression_fn=bz2.decompress)
    with pytest.raises(CheckpointError, match="Give it the functions"):
        ReplayBuffer(storage=other).loads(tmp_path)


def test_an_item_that_cannot_be_compressed_changes_nothing():
    def fail(data):
        if len(data) > 8:
            raise MemoryError
        return data

    storage = CompressedListStorage(4, compression_fn=fail, decompression_fn=bytes)
    with pytest.raises(MemoryError):
        storage.set(range(2), [torch.zeros(1), torch.zeros(9)])
    assert len(storage) == 0
