import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rl.data.trees.least_leaf import LeastLeaf

SIZE = 6
changes = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, 4)), min_size=1, max_size=5)


@given(st.lists(st.tuples(changes, st.booleans()), max_size=12))
def test_the_least_of_a_changing_array(batches):
    numbers = np.zeros(SIZE, np.float32)
    least = LeastLeaf(numbers)
    for batch, asked in batches:
        places = np.array([place for place, _ in batch])
        before = numbers[places]
        numbers[places] = [value for _, value in batch]
        least.changed(before, places, min(value for _, value in batch))
        if asked:
            assert least.value() == min(numbers[numbers > 0], default=float("inf"))


def test_what_is_forgotten_is_read_again():
    numbers = np.array([0.0, 2.0])
    least = LeastLeaf(numbers)
    assert least.value() == 2.0
    numbers[:] = 0.0
    least.forget()
    assert least.value() == float("inf")


def test_the_array_is_read_only_when_the_last_of_the_least_is_gone():
    numbers = np.array([1.0, 1.0, 3.0])
    least = LeastLeaf(numbers)
    assert least.value() == 1.0
    numbers[0] = 5.0
    least.changed(np.array([1.0]), np.array([0]), 5.0)
    numbers[2] = 0.5  # not told: it would be found by reading
    assert least.value() == 1.0
    numbers[1] = 5.0
    least.changed(np.array([1.0]), np.array([1]), 5.0)
    assert least.value() == 0.5
