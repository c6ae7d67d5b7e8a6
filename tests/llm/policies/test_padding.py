import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.llm.policies.padding import lengths_until_stop, pad_rows, row_mask, unpad_rows

ROWS = st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=4)


@given(ROWS, st.sampled_from(["left", "right"]))
def test_rows_come_back_from_their_padding(rows, side):
    rows = [torch.tensor(row, dtype=torch.long) for row in rows]
    back = unpad_rows(pad_rows(rows, 0, side), row_mask(rows, side))
    assert [row.tolist() for row in back] == [row.tolist() for row in rows]


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=4))
def test_a_row_ends_with_its_first_stop_token(rows):
    expected = [
        next((i + 1 for i, token in enumerate(row) if token in (2, 3)), len(row)) for row in rows
    ]
    assert lengths_until_stop(torch.tensor(rows), [2, 3]).tolist() == expected


def test_rows_without_tokens_have_no_length():
    assert lengths_until_stop(torch.zeros(2, 0, dtype=torch.long), [2]).tolist() == [0, 0]
    assert lengths_until_stop(torch.tensor([[5, 2]]), []).tolist() == [2]
