import pytest
import torch
from tensordict import TensorDict

from rl.data import LazyStackStorage, ReplayBuffer, TensorDictReplayBuffer


def item(n):
    return TensorDict({"tokens": torch.arange(n), "text": "a" * n, "score": torch.ones(())})


def filled(**kwargs):
    storage = LazyStackStorage(10, **kwargs)
    for i, n in enumerate((2, 4, 3)):
        storage.set(i, item(n))
    return storage


def test_ragged_rows_come_as_one_stack():
    found = filled().get(torch.tensor([1, 0]))
    assert found.shape == (2,)
    assert [t.tolist() for t in found.get("tokens", as_list=True)] == [[0, 1, 2, 3], [0, 1]]
    assert list(found["text"]) == ["aaaa", "aa"]
    assert found["score"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("stack_dim", "shape"), [(0, (3, 2)), (1, (2, 3)), (-1, (2, 3))])
def test_the_stack_has_its_dimension(stack_dim, shape):
    storage = LazyStackStorage(5, stack_dim=stack_dim)
    for i in range(3):
        storage.set(i, TensorDict({"x": torch.zeros(2, 4)}, [2]))
    assert storage[:].shape == shape


def test_neither_batches_nor_what_was_written_share_memory():
    row = item(2)
    storage = LazyStackStorage(5)
    storage.set(0, row)
    row["tokens"] += 9
    storage[:].get("tokens").zero_()
    storage.get(torch.tensor([0])).set("index", torch.zeros(1))
    assert storage[0]["tokens"].tolist() == [0, 1]
    assert set(storage[0].keys()) == {"tokens", "text", "score"}


def test_in_buffers():
    for cls in (ReplayBuffer, TensorDictReplayBuffer):
        rb = cls(storage=LazyStackStorage(), batch_size=6)
        for n in (3, 5):
            rb.add(item(n))
        assert rb.sample().shape == (6,)


def test_save_and_load(tmp_path):
    rb, other = (ReplayBuffer(storage=LazyStackStorage(5), batch_size=2) for _ in "ab")
    rows = TensorDict({"x": torch.arange(3)}, [3])
    rb.extend(rows)
    rb.dumps(tmp_path)
    other.loads(tmp_path)
    assert other[:]["x"].tolist() == [0, 1, 2]


def test_other_items_raise():
    with pytest.raises(TypeError, match="Use `ListStorage`"):
        LazyStackStorage(5).set(0, "text")
    with pytest.raises(IndexError, match="names no row"):
        filled().get(torch.tensor([], dtype=torch.int64))
