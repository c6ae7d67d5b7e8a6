import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.data.maps.hash_to_int import HashToInt


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_numbers_follow_the_first_appearance(hashes):
    order = list(dict.fromkeys(hashes))
    numbers = HashToInt()(torch.tensor(hashes))
    assert numbers.tolist() == [order.index(value) for value in hashes]


def test_unknown_hashes():
    to_int = HashToInt()
    to_int(torch.tensor([[4], [5]]))
    assert to_int(torch.tensor([5, 6]), extend=False).tolist() == [1, -1]
    assert len(to_int) == 2
    to_int.clear()
    assert to_int(torch.tensor([5])).tolist() == [0]


def test_the_numbers_are_saved():
    first, second = HashToInt(), HashToInt()
    first(torch.tensor([9, 3]))
    second.load_state_dict(first.state_dict())
    assert second(torch.tensor([3, 7])).tolist() == [1, 2]
