import pickle

import torch

from rl.data.storages.columns import Columns
from rl.data.storages.structure import Structure


def columns():
    data = {"x": torch.arange(4.0), "b": torch.arange(4.0).bfloat16()}
    return Columns(Structure.of(data), list(data.values()), 1)


def test_a_pickled_copy_reads_what_is_written_to_it():
    copy = pickle.loads(pickle.dumps(columns()))
    copy.write(range(1, 2), [torch.tensor([9.0]), torch.tensor([8.0]).bfloat16()])
    got = copy.gather(torch.tensor([0, 1]))
    assert got["x"].tolist() == [0.0, 9.0]
    assert got["b"].tolist() == [0.0, 8.0]


def test_one_entry():
    assert columns().entry(("x",), torch.tensor([3, 3])).tolist() == [3.0, 3.0]
    assert columns().entry(("b",), torch.tensor([1])).tolist() == [1.0]
    assert columns().entry(("y",), torch.tensor([0])) is None


def test_columns_start_at_zero_whatever_their_dtype():
    rows = {"x": torch.ones(2, 3, dtype=torch.int16), "b": torch.ones(2).bfloat16()}
    made = Columns.allocate(rows, True, 5, 1, torch.device("cpu"))
    assert [t.dtype for t in made.tensors] == [torch.int16, torch.bfloat16]
    assert [t.shape for t in made.tensors] == [(5, 3), (5,)]
    assert not any(t.any() for t in made.tensors)
