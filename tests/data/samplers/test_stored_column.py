import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, SpecError
from rl.data import LazyStackStorage, LazyTensorStorage, ListStorage
from rl.data.samplers.stored_column import stored_column, stored_numbers

ROWS = TensorDict({"a": {"n": torch.tensor([[3], [1]])}, "x": torch.zeros(2, 2)}, [2])


@pytest.mark.parametrize("make", [LazyTensorStorage, ListStorage, LazyStackStorage])
def test_one_entry_of_all_rows(make):
    storage = make(5)
    storage.set(range(2), ROWS)
    assert stored_column(storage, ("a", "n")).tolist() == [[3], [1]]
    assert stored_numbers(storage, ("a", "n")).tolist() == [3, 1]
    with pytest.raises(SpecError, match="one number per row"):
        stored_numbers(storage, "x")
    with pytest.raises(MissingKeyError, match="tell the sampler its key"):
        stored_column(storage, "y")


@pytest.mark.parametrize("make", [LazyTensorStorage, ListStorage])
def test_rows_that_are_no_tensordicts_raise(make):
    storage = make(5)
    storage.set(range(2), torch.zeros(2))
    with pytest.raises(SpecError, match="Write TensorDicts"):
        stored_column(storage, "x")
