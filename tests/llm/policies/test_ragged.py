import torch
from tensordict import TensorDict, lazy_stack

from rl.llm import Tokens
from rl.llm.policies.ragged import is_ragged, read_padded, read_rows


def batch(kind):
    rows = [torch.tensor([1]), torch.tensor([2, 3])]
    if kind == "lazy":
        tokens = lazy_stack([Tokens(full=row) for row in rows])
    else:
        nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
        tokens = Tokens(full=nested, batch_size=[2])
    return TensorDict({"tokens": tokens}, batch_size=[2])


def test_lazy_and_nested_rows_are_read_alike():
    for kind in ("lazy", "nested"):
        td = batch(kind)
        assert is_ragged(td, ("tokens", "full"))
        assert [row.tolist() for row in read_rows(td, ("tokens", "full"))] == [[1], [2, 3]]
        assert read_padded(td, ("tokens", "full"), 9).tolist() == [[1, 9], [2, 3]]


def test_dense_and_absent_entries():
    td = TensorDict({"a": torch.ones(2, 3)}, batch_size=[2])
    assert not is_ragged(td, "a")
    assert not is_ragged(td, ("b", "c"))
    assert read_padded(td, "a") is td["a"]
    assert read_padded(td, ("b", "c")) is None
    assert read_padded(batch("lazy"), ("tokens", "response")) is None
